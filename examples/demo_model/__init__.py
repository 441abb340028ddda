"""The model that ships as `demo`: its scenes, its training and its examination.

    vocabulary.py  colours, shapes, backdrops and the words for them
    scenes.py      what a picture holds: sampling scenes; which are held out
    captions.py    a scene -> one of its many captions
    layout.py      a scene -> where every object lies, as one row of numbers each
    shapes.py      the silhouettes, as an atlas of signed distances
    draw.py        rows of numbers -> pictures, in torch, on CPU or GPU
    words.py       the CLIP and T5 tokenizers over the captions' words
    pipeline.py    the components' sizes; saving them as a FluxPipeline folder
    data.py        an endless reproducible stream of (token ids, numbers to draw)
    schedule.py    learning rate by wall clock, the average of the weights, checkpoints
    run.py         one run: budget, randomness, checkpoints
    train_vae.py   first stage: the autoencoder
    flow.py        second stage: text encoders and transformer
    distil.py      third stage: guidance becomes an input
    train.py       the stages in turn
    measure.py     a picture -> the colours, shapes and places that its pixels show
    examine.py     a scene and what was measured -> what is right
    sheet.py       pictures and captions on one sheet
    evaluate.py    held-out prompts -> accuracy, a contact sheet

Nothing here is imported by renderay itself.
"""
