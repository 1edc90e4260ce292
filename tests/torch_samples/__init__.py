"""PyTorch's own database of operations with its sample inputs, run through both libraries.

``translate`` makes numbagrad's arguments and functions of PyTorch's; ``compare`` holds results against each other; the tests run every entry that
``covered.txt`` lists.  Covering another entry means adding its name there.
"""
