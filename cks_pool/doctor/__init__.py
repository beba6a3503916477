"""What must be true for pools to work, each thing looked at by itself.

    findings     what a check says: how bad, what was found, the cure
    checking     all checks at once, with one deadline; one that fails hides no other
    connection   the way to the host, and the clock
    rights       what this identity may, by the very files that grant the worker its rights
    kinds        the pool's own kinds, in this version
    kubevirt     KubeVirt, CDI and their webhooks
    storage      a storage class that snapshots, the golden image
    network      what can be known of network policies
    prefect      Prefect's API, its database, maintenance's schedule, the worker
    command      `cks-pool doctor`

A check is two functions: one that looks and returns facts, and one that judges these, purely.
"""
