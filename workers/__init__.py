"""What one GPU does: load a model, render batches, time every step, write Parquet.

    settings.py      what a worker is told and what it answers
    reference.py     what `--model` may say
    families/        what is particular to a model family
    traits.py        what decides which rows a model can render
    demo.py          the model that ships inside          demo_pipeline/
    model.py         load a pipeline and describe it      fingerprint.py, hardware.py
    pipelines.py     where it comes from                  hub.py, libraries.py
    weights.py       how much memory it will need
    placement.py     where its weights live
    residency.py     moving them between phases
    lora.py          merging LoRA weights into it         quantize.py
    timing.py        device time of every step            step_ends.py, transfer.py
    references.py    reference images, fetched ahead
    reference_files.py   their bytes: local, http, object storage
    decode.py            their pixels: any common file to upright RGB
    encode.py        prompts to embeddings
    render.py        one batch: embeddings to pixels
    decide.py        what is auto, by measurement         backend_choice.py, batch_size.py
    compile.py       compiling the blocks that repeat
    pictures.py      pixels to PNG, WebP, JPEG
    records.py       a batch as table rows
    tables.py        one Parquet file of one table
    lease_output.py  the files of one lease
    breadcrumb.py    what was being rendered when a worker died
    lease.py         one lease: batches, retries, the threads behind them
    turns.py         several configurations taking turns on one pipeline
    worker.py        one process: load, decide, begin, render
    actor.py         the worker as a Ray actor; logs.py

Rule: only actor.py imports Ray, and nothing here knows of jobs; torch is imported inside functions, so that the driver
can use the values defined here without loading it.
"""
