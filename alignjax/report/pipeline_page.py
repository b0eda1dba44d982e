"""The page of a pipeline: stages, what they cost, what came of them."""

PAGE = """<h1>{{ title }}</h1>
<p class="soft">{{ subtitle }}</p>
<ol class="flow">
{% for stage in stages %}
<li><b>{{ stage.title }}</b>
{% if stage.after %}<span class="soft">from {{ stage.after }}</span><br>
{% endif %}{{ stage.result }}
<div class="soft">{{ stage.time }} · {{ stage.memory }}</div></li>
{% endfor %}
</ol>
<h2>Models side by side</h2>
<p class="soft lead">{{ caution }}</p>
<div class="box"><table class="rows">
<tr><th>Task</th><th>Metric</th>
{% for model in models %}
<th class="number">{{ model }}</th>
{% endfor %}
<th class="number">n</th></tr>
{% for row in rows %}
<tr><td>{{ row.task }}<div class="soft">{{ row.note }}</div></td>
<td>{{ row.metric }}</td>
{% for cell in row.cells %}
<td class="number">{{ cell.value }}<div class="soft">{{ cell.between }}</div>
{% if cell.change %}
<div class="{{ cell.verdict }}">{{ cell.change }}</div>
<div class="soft">{{ cell.around }}</div>
{% endif %}
</td>
{% endfor %}
<td class="number">{{ row.n }}</td></tr>
{% endfor %}
</table></div>
<p class="soft">Below each value its 95 % interval, then the difference from
{{ models[0] }} on the same items, with its own.</p>
<h2>Curves</h2>
<div class="curves pictures">
{% for curve in pictures %}
<figure><figcaption><b>{{ curve.name }}</b></figcaption>{{ curve.svg }}</figure>
{% endfor %}
</div>
{{ figures(curves) }}
{% if answers %}
<h2>Answers side by side</h2>
{% for answer in answers %}
<article class="card">
<div class="text prompt" dir="auto">{{ answer.prompt }}</div>
<div class="pair several">
{% for name, text in answer.texts %}
{{ part(name, text) }}
{% endfor %}
</div>
</article>
{% endfor %}
{% endif %}
<h2>How to repeat each stage</h2>
{% for stage in stages %}
<details{% if loop.first %} open{% endif %}>
<summary>{{ stage.title }}: {{ stage.time }}, {{ stage.memory }}</summary>
{% for command in stage.commands %}
<pre class="command">{{ command }}</pre>
{% endfor %}
</details>
{% endfor %}
{{ surroundings(environment) }}
"""
