"""The Berkeley Function Calling Leaderboard (v4, single turn): its rows, its matching rules, its figures.

``load`` reads the rows of the ``bfcl-eval`` package (or a folder), ``check`` gives the leaderboard's own verdict on an
answer, ``literals`` reads Java and JavaScript literals as its rules do, ``source`` writes them, ``figures`` adds up.
"""
