"""What a person does with a job: submit it, watch it, read what it left.

    cli.py       the command line, put together   options.py  options and config from JobSpec
    yaml_file.py  files of settings that a user names
    commands/    its commands, a file each
    api.py       the same from Python
    spec.py      what is asked for
    run.py       one run from beginning to end    sigterm.py  which ends it in order
    job.py       a job: manifest, ledger, decisions    jobfile.py, card.py  what it writes about itself
    outfolder.py  may a job begin there, and undoing it   glossary.py  what the tables' columns mean
    rules.py     what the model makes of rows, and what is refused before Ray starts
    driver.py    the loop                         planner.py, sizing.py  which rows go out next
    pool.py      workers as Ray actors            cluster.py  joining or starting Ray
    commits.py   the log: the only truth          ledger.py   what it adds up to
    error_rows.py  rows that no worker can write
    publish.py   moving files into the tables     lock.py     one driver an output folder
    progress.py  showing it live                  start_up.py  how a run gets going
    status.py    reading it from outside
    check.py, dry_run.py, demo.py, attention_table.py   the work of smaller commands
    bench/       attention backends in turns      export/      from the tables to what other programs take
    results/     after the job: reading what it left
    submit/      the same render, as a job of a running cluster

Rule: only the driver writes the log and moves files; the driver never imports torch.
"""
