"""The commands of `renderay`, a file each: options, what is printed, exit status. The work is done elsewhere.

    render.py     a manifest into an output folder    demo.py       the same with a manifest that ships inside
    submit.py     the same as a job of a running cluster
    check.py      the bad rows of a manifest
    status.py     how far a job is
    report.py     one page about a job
    compare.py    runs side by side
    export.py     pictures as files
    attention.py  which attention backends work here
    bench.py      attention backends in turns
    usage.py      a command line that cannot be understood, in one line

Rule: what a command works with is imported when it runs, so that `renderay --help` need not wait for it.
"""
