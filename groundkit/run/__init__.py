"""A run: phrases in many pictures and videos, or everything that is in them.

``plan`` names every result before anything is done, ``worker`` does the work, ``manifest`` remembers it, ``engines``
say where it is done, and ``runner`` puts them together. ``segment``, ``follow``, ``batch`` and ``discover`` are runs;
``batch`` has a manifest, from which it can be resumed.
"""
