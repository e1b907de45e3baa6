"""Keys: what a store is asked for. Distinct questions never share a key; that is what this module is about.

A full key is ``namespace prefix + sigil + name``: ``shop:eu:`` + ``:`` + ``user:42``. The sigil tells
a value (``:``) from a tag's stamp (``#``, ``~``) and an HTTP response (``@``). No segment of a namespace
can contain any of them, so whatever the names are, a child, a value and a tag never meet, and one
prefix covers exactly a namespace with all its children.
"""

from __future__ import annotations

from asynccache.keys._calls import call_key
from asynccache.keys._names import Kind, Namespace, check_key, describe, digest, split
from asynccache.keys._templates import KeyTemplate

__all__ = ["KeyTemplate", "Kind", "Namespace", "call_key", "check_key", "describe", "digest", "split"]
