"""The model that ships as `demo`: its scenes, its training and its examination.

    vocabulary.py  colours, shapes, backdrops and the words for them
    scenes.py      what a picture holds: sampling scenes; which are held out
    captions.py    a scene -> one of its many captions
    layout.py      a scene -> where every object lies, as one row of numbers each
    shapes.py      the silhouettes, as an atlas of signed distances
    draw.py        rows of numbers -> pictures, in torch, on CPU or GPU
    words.py       the CLIP and T5 tokenizers over the captions' words
    pipeline.py    the components' sizes; saving them as a FluxPipeline folder
    data.py        captioned scenes to train on, made once
    pool.py        those scenes on the GPU, and their latents
    schedule.py    learning rate by wall clock, the average of the weights, checkpoints
    descent.py     one step of training, safe from NaN, as a CUDA graph
    team.py        several GPUs that train one model
    run.py         one run: budget, randomness, checkpoints
    train_vae.py   first stage: the autoencoder
    flow.py        second stage: text encoders and transformer
    distil.py      third stage: guidance becomes an input
    watch.py       held-out prompts examined while training goes on
    train.py       the stages in turn
    speed.py       what a step costs, eager, compiled, as a CUDA graph
    measure.py     a picture -> the colours, shapes and places that its pixels show
    examine.py     a scene and what was measured -> what is right
    pictures.py    pictures to examine, from a pipeline or from its autoencoder
    sheet.py       pictures and captions on one sheet
    evaluate.py    held-out prompts -> accuracy, a contact sheet

Nothing here is imported by renderay itself.
"""
