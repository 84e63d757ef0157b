"""Label Studio, both ways: samples out with what a model reads in them, labels back.

`setup` makes the project, `push` sends tasks, `pull` takes annotations, `watch` does both again
and again. `links` signs the pictures' addresses, `tokens` and `client` speak to the server.
"""
