"""The page where raters compare answers, and the one with the numbers.

Everything works without JavaScript; `static/keys.js` adds keys. What raters
and models wrote is hostile: templates escape it, and the policy of `security`
lets no script run but our file.
"""
