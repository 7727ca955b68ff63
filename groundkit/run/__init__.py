"""A run over many inputs and phrases that can be stopped at any moment and goes on where it was.

``plan`` says what is to be done and under which names, ``manifest`` what has been; ``worker`` does it, ``processes``
and ``ray_data`` do it on several cores or machines, and ``batch`` puts them together.
"""
