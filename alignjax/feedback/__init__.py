"""Comparisons by people: pairs in, votes in one SQLite file, preferences out.

`pairs` reads what is compared, `store` keeps the study, `assign` says what a
rater sees next, `votes` takes what they say, `agreement` measures it, `export`
writes rows to train on; `web` is the page.
"""
