"""What runs have come to: collected from their folders, set into tables and figures, and written
for people or programs.
"""
