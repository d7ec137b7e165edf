"""Where a request says a value: as written, in another form (numbers, units, times, dates, codes), or not at all.

``ground`` finds the value of an argument; ``hearing`` the values that a stretch of text may mean; ``wording`` says them; ``said`` compares
words; ``units`` converts. English, with number words of six other languages.
"""
