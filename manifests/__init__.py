"""The vocabulary of a job: a row in, a row out, and everything that both sides must agree on.

    errors.py      the exception tree
    storage.py     any URI as a filesystem and a path
    files.py       which files a manifest is          columns.py     what its columns are called
    read.py        files to raw records               survey.py      one pass ahead: rows, types
    validate.py    a record to a row, or why not      fields.py      what each column may hold
    row.py         the row
    duplicates.py  repeated ids                       rows.py        all of that in one stream
    plan.py        rows to blocks, leases, batches    seeds.py       the seed of every picture
    schemas.py     the Arrow schemas of the tables

Rule: nothing here imports Ray, torch or another package of renderay.
"""
