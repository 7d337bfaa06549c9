"""What there is to look at: the images of a dataset or of a translation folder, with their sources and their boxes.

What browses, scores or reports reads both kinds of folder here, as the same items in the same order.
"""

from nirgen.collection.item import Item, ItemBox
from nirgen.collection.opening import Collection, open_collection

__all__ = ["Collection", "Item", "ItemBox", "open_collection"]
