"""The HTTP API for platforms: a thin room over `pool/`, which keeps nothing of its own.

    app          everything put together: middleware, problems, routes
    serving      the server around it: address, TLS, signals
    tls          the certificate, renewed without a restart
    settings     what the environment says of it
    gateway      the host behind it, opened and followed; what routes get hold of
    access/      who asks, and what they may: tokens, roles, TokenReview, browsers' origins
    problems     every error as problem details
    limits       size, rate and time of a request
    logs         one line a request, and what it was about
    health       whether it lives, and whether it is of use
    streaming    server-sent events until the client leaves or the gateway stops
    lists, keys, models  what routes share: parts of lists, idempotency keys, bodies
    queueing     who waits, and is served
    sessions/    what a platform asks for all day
    pools/       what there is
    admin, runs  long work, as flow runs of Prefect
    metrics/     the pool in figures
    page/, feed  the pool for people

A module of routes exports `router`, which `app` includes. State is in Kubernetes only: two gateways, or one that was
killed and started again, answer alike.
"""
