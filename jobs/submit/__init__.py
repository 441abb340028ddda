"""A render as a job of a running Ray cluster, through Ray's job server (the dashboard of the head node).

    reach.py       which of the paths that a job names the cluster can reach, and which local files have to travel
    bundle.py      the folder that is sent: renderay's own code, those files, the options
    runtime_env.py what a user adds to the job's runtime environment
    server.py      Ray's job server: connecting, sending
    follow.py      the job's log until it ends, and the exit status of its render
    entrypoint.py  what runs on the cluster first

Rule: what travels is checked here; what the cluster reaches by itself is checked there, by the render.
"""
