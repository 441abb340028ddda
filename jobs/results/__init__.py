"""After the job: reading what it left.

    opened.py      an output folder opened: its three tables for Arrow, pandas, Polars and DuckDB
    pictures.py    its pictures, in the order of the manifest
    installed.py   optional packages, or the line that installs them
    report/        `renderay report`: one page about a job

Rule: nothing here writes into the tables or the log, and nothing needs Ray, torch or a GPU.
"""
