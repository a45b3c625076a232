"""Protocols: functions of features, labels and readings that open no picture and run no model.

Of the other rooms it may import `face` only, for the types of what is read from pictures.
"""
