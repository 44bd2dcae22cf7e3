"""What plugin authors implement (tasks, heads, samplers, weightings and so on), and the hooks that
offer it.
"""
