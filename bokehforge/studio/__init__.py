"""A page to focus and blur a picture by hand, served on this machine alone.

    command    options, and the start of the server
    subjects   what is in front of the lens
    pictures   what a page asks for, and its exact picture, in a process of its own
    latest     the queue of that process: of each place in a page, the newest request alone is answered
    server     what the page is given
    layers     the layers as its preview takes them

page.html, page.css, page.js and preview.js are the page.
"""
