"""Time, money and the size of a cluster: formulas, prices and a simulator.

Numbers in, numbers out: knows no image, store, server or cloud. Who counts images or measures speeds asks here what
follows from them.
"""
