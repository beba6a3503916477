"""The flows there are, by the names of their deployments, and where their code is."""

FLOWS = {
    "create-namespaces": "flows.namespaces:create_namespaces",
    "bootstrap-pool": "flows.bootstrap:bootstrap_pool",
    "create-golden-snapshots": "flows.golden:create_golden_snapshots",
    "reset-cluster": "flows.reset:reset_cluster",
    "assign-session": "flows.sessions:assign_session",
    "release-session": "flows.sessions:release_session",
    "extend-session": "flows.sessions:extend_session",
    "heartbeat-session": "flows.sessions:heartbeat_session",
    "pool-maintenance": "flows.maintenance:pool_maintenance",
    "pool-status": "flows.status:pool_status",
    "release-all-clusters": "flows.admin:release_all_clusters",
    "rebuild-cluster": "flows.admin:rebuild_cluster",
    "teardown-pool": "flows.admin:teardown_pool",
}
