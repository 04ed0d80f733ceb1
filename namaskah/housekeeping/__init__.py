"""What is erased by itself, all of it in one list (`registry`): messages' words, what has expired, accounts that came
to nothing.

`running` is the worker's part and the operator's "now"; `reading` what pages, commands and metrics tell of it. What is
erased, and what spares it, is said by the room whose rows they are.
"""
