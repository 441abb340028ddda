"""Models and attention backends side by side on one device: `renderay bench`.

    plan.py      what is asked for, as configurations and the order of their turns
    process.py   the process that holds the model
    side.py      one configuration's output folder, a job's like any other
    run.py       one bench from beginning to end
    tables.py    what came of it: Markdown and JSON

Every configuration leaves a folder of its own that `status`, `report` and `compare` read:

    OUT/bench.json                      the configurations
    OUT/bench.md, bench-tables.json     the tables
    OUT/MODEL/rows-batchN.jsonl         what every configuration of a model rendered
    OUT/MODEL/CONFIGURATION/            job.json, images/, steps/, errors/

Rule: nothing here imports torch; the process that does is `workers.turns`.
"""
