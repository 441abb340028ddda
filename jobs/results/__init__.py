"""After the job: reading what it left.

    opened.py            an output folder opened: its three tables for Arrow, pandas, Polars and DuckDB
    views.py             the tables in DuckDB
    pictures.py          its pictures, in the order of the manifest
    installed.py         optional packages, or the line that installs them
    batches.py           the tables as one row per batch
    bootstrap.py         how sure a ratio of two sides is
    comparable.py        one run, and in what two sides differ besides what is compared
    sides.py             which runs are which side
    compare.py           two sides compared
    picture_pairs.py     the same pictures of both, by PSNR and SSIM
    compare_tables.py    a comparison as tables       compare_html.py   as a page: compare.html and .css
    bench_file.py        the configurations that a bench left
    quantities.py        numbers as people read them
    text_table.py        a table of texts               terminal_table.py  in the width of a terminal
    report/              `renderay report`: one page about a job
    webpage/             what the pages share: design, theme, what they forbid themselves

Rule: nothing here writes into the tables or the log, and nothing needs Ray, torch or a GPU.
"""
