"""Input from outside: limits, escaping, redaction of secrets; and files that are replaced
atomically.
"""
