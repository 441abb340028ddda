"""From the images table to what other programs take: files, shards, sheets.

    names.py          what their files are called
    target.py         the folder they go to: rules, and writing into it
    export.py         one export from beginning to end
    image_folder.py   files with metadata beside them, as `datasets` reads an ImageFolder
    shards.py         WebDataset: tar files
    contact_sheet.py  pages to look at                 fonts.py  a font that has the letters

Rule: what is written depends on the tables and the options alone, so that the same export again changes nothing.
"""
