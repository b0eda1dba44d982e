"""The page of a report.

Everything that comes from the run folder is hostile until escaped: jinja's
autoescape is on, the drawings alone are inserted as they are, and a policy in
the page's head forbids scripts and outside resources whatever slips through.
"""

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

STYLE = """
:root {
  color-scheme: light dark;
  --page: #fbfbfa; --card: #ffffff; --ink: #1f2328; --soft: #636b74;
  --rule: #d9dde1; --train: #2f6fb5; --held: #c2571a;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #14171a; --card: #1c2024; --ink: #e3e6e9; --soft: #9aa3ac;
    --rule: #373d43; --train: #6cabed; --held: #f0955c;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 1.5rem 1rem 3rem; max-width: 70rem;
  background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; overflow-wrap: anywhere;
}
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0; }
h2 { font-size: 1.1rem; margin: 2.2rem 0 .7rem; }
h3 { font-size: .8rem; font-weight: 600; margin: 0 0 .3rem; }
.soft, h3, dt, th, figcaption { color: var(--soft); }
p { margin: .2rem 0 0; }
p.lead { margin: 0 0 .7rem; }
.facts, .curves, .pair { display: grid; gap: .75rem; margin: 0; }
.facts { grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); }
.facts { margin-top: 1.2rem; }
.curves { grid-template-columns: repeat(auto-fit, minmax(min(100%, 25rem),
  1fr)); }
.pair { grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem),
  1fr)); }
.card, .facts div, figure, details {
  background: var(--card); border: 1px solid var(--rule); border-radius: 8px;
  padding: .75rem .9rem; margin: 0; min-width: 0;
}
.card, details { margin-bottom: .75rem; }
dt { font-size: .8rem; }
dd { margin: 0; font-size: 1.05rem; font-variant-numeric: tabular-nums; }
dd + dd { font-size: .8rem; }
figcaption { display: flex; flex-wrap: wrap; gap: 0 1rem; font-size: .85rem; }
figcaption b { color: var(--ink); margin-right: auto; }
figcaption i { font-style: normal; }
figcaption i::before {
  content: ""; display: inline-block; width: .9em; height: .2em;
  margin-right: .4em; vertical-align: middle; background: var(--train);
}
figcaption i.held::before { background: var(--held); }
svg { display: block; width: 100%; height: auto; }
svg text { font-family: system-ui, sans-serif; }
.text { white-space: pre-wrap; unicode-bidi: isolate; }
.prompt { border-left: 3px solid var(--rule); padding-left: .7rem; }
.prompt { margin: .1rem 0 .8rem; }
.pair + .part { margin-top: .8rem; }
summary { cursor: pointer; }
details[open] > summary { margin-bottom: .7rem; }
.box { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; overflow-wrap: normal; }
th, td { text-align: left; vertical-align: top; padding: .3rem .9rem .3rem 0;
  border-top: 1px solid var(--rule); font-weight: normal; }
th { white-space: nowrap; width: 1%; }
td { overflow-wrap: anywhere; min-width: 11rem; }
.facts div { padding: .6rem .8rem; }
tr:first-child > * { border-top: 0; }
.rows tr > * { width: auto; border-top: 1px solid var(--rule); }
.rows .number { text-align: right; white-space: nowrap; min-width: 0;
  font-variant-numeric: tabular-nums; }
.rows details { border: 0; border-radius: 0; padding: 0; margin: 0; }
.rows details[open] > summary { color: var(--soft); margin-bottom: .4rem; }
pre { margin: 0; font: 13px/1.45 ui-monospace, monospace; }
.flow { display: grid; gap: .75rem; padding: 0; margin: 1.2rem 0 0;
  grid-template-columns: repeat(auto-fit, minmax(10.5rem, 1fr)); }
.flow li { list-style: none; background: var(--card);
  border: 1px solid var(--rule); border-top: 3px solid var(--train);
  border-radius: 8px; padding: .6rem .8rem; min-width: 0; }
.flow b { display: block; }
.flow .soft { font-size: .8rem; }
.better { color: var(--train); font-weight: 600; }
.worse { color: var(--held); font-weight: 600; }
.number .soft { font-size: .8rem; }
.rows td { min-width: 6rem; }
.pictures { grid-template-columns: repeat(auto-fill, minmax(min(100%, 25rem),
  1fr)); margin-bottom: .75rem; }
.several { grid-template-columns: repeat(auto-fit, minmax(min(100%, 12rem),
  1fr)); }
pre.command { white-space: pre-wrap; overflow-wrap: anywhere; }
"""

HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; style-src 'unsafe-inline'">
<title>{{ title }}</title>
<style>{{ style }}</style>
</head>
<body>
{% macro part(name, text) %}
<div class="part">
<h3>{{ name }}</h3>
{% if text %}
<div class="text" dir="auto">{{ text }}</div>
{% else %}
<div class="soft">(empty)</div>
{% endif %}
</div>
{% endmacro %}
{% macro figures(curves) %}
<div class="curves">
{% for curve in curves %}
<figure>
<figcaption><b>{{ curve.name }}</b>
{% if curve.train and curve.held %}<i>training</i>{% endif %}
{% if curve.held %}<i class="held">held-out</i>{% endif %}
</figcaption>
{{ curve.svg }}
</figure>
{% endfor %}
</div>
{% endmacro %}
{% macro surroundings(environment) %}
{% if environment %}
<details><summary>Environment</summary>
<div class="box"><table>
{% for name, value in environment %}
<tr><th>{{ name }}</th><td>{{ value }}</td></tr>
{% endfor %}
</table></div>
</details>
{% endif %}
{% endmacro %}
{% macro folded(cell) %}
{% if cell.start %}
<details>
<summary dir="auto">{{ cell.start }} …</summary>
<div class="text" dir="auto">{{ cell.text }}</div>
{% if cell.more %}
<p class="soft">{{ cell.more }} more characters.</p>
{% endif %}
</details>
{% elif cell.text %}
<div class="text" dir="auto">{{ cell.text }}</div>
{% else %}
<div class="soft">(empty)</div>
{% endif %}
{% endmacro %}
"""

PAGE = """<h1>{{ title }}</h1>
<p class="soft">{{ subtitle }}</p>
<dl class="facts">
{% for fact in facts %}
<div><dt>{{ fact.name }}</dt><dd>{{ fact.value }}</dd>
{% if fact.note %}<dd class="soft">{{ fact.note }}</dd>{% endif %}
</div>
{% endfor %}
</dl>
<h2>Curves over steps</h2>
{{ figures(curves) }}
{% if thinned %}
<p class="soft">Each point is a mean over {{ thinned }} logged steps.</p>
{% endif %}
{% if answers %}
<h2>Answers before and after</h2>
{% for answer in answers %}
<article class="card">
<div class="text prompt" dir="auto">{{ answer.prompt }}</div>
<div class="pair">
{{ part("Before", answer.before) }}
{{ part("After", answer.after) }}
</div>
{% if answer.reference %}{{ part("Reference", answer.reference) }}{% endif %}
</article>
{% endfor %}
{% endif %}
{% if rollouts %}
<h2>Rollouts</h2>
<p class="soft lead">Completions the policy learnt from, from the best score to
the worst; the KL is to the reference, in nats a completion. A few are kept of
each rollout, evenly over its scores; above them stand the means over all.</p>
{% for rollout in rollouts %}
<article class="card">
<h3>Step {{ rollout.step }}{{ ": " if rollout.means }}{{ rollout.means }}</h3>
<div class="box"><table class="rows">
<tr><th>Prompt</th><th>Completion</th>
{% for name in ("Score", "KL", "Tokens", "Cut") %}
<th class="number">{{ name }}</th>
{% endfor %}
</tr>
{% for row in rollout.rows %}
<tr>
{% for text in row.texts %}
<td>{{ folded(text) }}</td>
{% endfor %}
{% for number in row.numbers %}
<td class="number">{{ number }}</td>
{% endfor %}
<td class="number">{{ row.cut }}</td>
</tr>
{% endfor %}
</table></div>
</article>
{% endfor %}
{% endif %}
{% if samples %}
<h2>Samples during training</h2>
{% for group in samples %}
<details>
<summary>{{ group.prompt | truncate(160, true) }}</summary>
{% if group.prompt | length > 160 %}
<div class="text prompt" dir="auto">{{ group.prompt }}</div>
{% endif %}
<div class="box"><table>
{% for step, completion in group.rows %}
<tr><th>step {{ step }}</th>
<td><div class="text" dir="auto">{{ completion }}</div></td></tr>
{% endfor %}
</table></div>
{% if group.left_out %}
<p class="soft">{{ group.left_out }} more in samples.jsonl.</p>
{% endif %}
</details>
{% endfor %}
{% endif %}
<h2>How it was made</h2>
{% if more %}
<details><summary>All metrics</summary>
{{ figures(more) }}
</details>
{% endif %}
{% if config %}
<details><summary>Configuration</summary>
<div class="box"><pre>{{ config }}</pre></div>
</details>
{% endif %}
{{ surroundings(environment) }}
"""

FOOT = """</body>
</html>
"""


def render(**fields) -> str:
  """The page of a run; every field is escaped, save `svg` of the curves."""
  for curve in fields["curves"] + fields["more"]:
    curve["svg"] = Markup(curve["svg"])
  return filled(PAGE, **fields)


def filled(body: str, **fields) -> str:
  """A whole page around a body, in the style that all pages share."""
  jinja = Environment(
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
  )
  return jinja.from_string(HEAD + body + FOOT).render(
    style=Markup(STYLE), **fields
  )
