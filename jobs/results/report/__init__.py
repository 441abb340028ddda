"""`renderay report`: one HTML page about a job, and a summary of it.

    write.py         from an output folder to a page in place
    build.py         everything gathered: a `Report`
    database.py      the tables in DuckDB: pictures, batches, shapes
    headline.py      counts, quantiles, shapes       stages.py      where the time of a picture goes
    step_times.py    the cost of each step           slowest.py     the slowest pictures
    activity.py      workers: leases, idle, deaths   workclock.py   time without the pauses between runs
    timeline.py      lanes and throughput, drawn     causes.py      failed rows by cause
    sample.py        which pictures are shown        thumbnails.py  their bytes, small
    gallery.py       their cards and columns         terminal.py    the summary
    page.py          Report to HTML: page.html and its parts charts.html, gallery.html, page.css, page.js

Rule: figures come from the tables and the log alone; pictures' bytes are read for those that are shown.
"""

PICTURES = 400  # in the gallery, unless told otherwise
