"""Grafana's dashboard model, as far as these dashboards use it.

A dashboard is rows of panels; places, ids and the data source are filled in here. A panel is a line in
the JSON file, so that a change shows as a change of that panel.
"""

import json

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
COLUMNS = 24


def steps(*pairs):
    """Thresholds: the first colour, then (value, colour) upwards."""
    first, *rest = pairs
    return {
        "mode": "absolute",
        "steps": [{"color": first, "value": None}] + [{"color": c, "value": v} for v, c in rest],
    }


NEUTRAL = steps("blue")


def _targets(queries, **more):
    """Queries are (expression, legend) or an expression."""
    pairs = [(query, "") if isinstance(query, str) else query for query in queries]
    return [
        {"refId": chr(ord("A") + n), "datasource": SOURCE, "expr": " ".join(expr.split()), "legendFormat": legend, **more}
        for n, (expr, legend) in enumerate(pairs)
    ]


def _panel(kind, title, bad, runbook, unit, thresholds, targets, options, width, height, **field):
    return {
        "type": kind,
        "title": title,
        "description": f"{bad}\n\n[Runbook](${{runbook}}#{runbook})",
        "datasource": SOURCE,
        "targets": targets,
        "fieldConfig": {"defaults": {"unit": unit, "thresholds": thresholds, **field}, "overrides": []},
        "options": options,
        "gridPos": {"w": width, "h": height},
    }


def stat(title, query, *, bad, runbook, unit, thresholds=NEUTRAL, width=4, decimals=None):
    """One figure, the latest."""
    field = {"color": {"mode": "thresholds"}, "noValue": "no data"}
    if decimals is not None:
        field["decimals"] = decimals
    options = {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "background", "graphMode": "none", "justifyMode": "center", "textMode": "value",
        "orientation": "auto",
    }
    return _panel("stat", title, bad, runbook, unit, thresholds, _targets([query], instant=True, range=False), options, width, 4, **field)


def graph(title, *queries, bad, runbook, unit, thresholds=NEUTRAL, width=8, stacked=False, minimum=0, maximum=None, interval=None):
    """Lines over time; thresholds that are not neutral are drawn."""
    field = {
        "color": {"mode": "palette-classic"},
        "min": minimum,
        "custom": {
            "drawStyle": "line", "lineWidth": 1, "fillOpacity": 30 if stacked else 8, "showPoints": "never",
            "spanNulls": 300000,
            "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
            "thresholdsStyle": {"mode": "off" if thresholds is NEUTRAL else "line"},
        },
    }
    if maximum is not None:
        field["max"] = maximum
    options = {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    panel = _panel("timeseries", title, bad, runbook, unit, thresholds, _targets(queries, range=True), options, width, 8, **field)
    if interval:
        panel["interval"] = interval
    return panel


def bars(title, query, *, bad, runbook, unit, thresholds, width=8):
    """The latest figure of each of several things."""
    field = {"color": {"mode": "thresholds"}, "min": 0}
    options = {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "orientation": "horizontal", "displayMode": "lcd", "valueMode": "color", "showUnfilled": True,
    }
    return _panel("bargauge", title, bad, runbook, unit, thresholds, _targets([query], instant=True, range=False), options, width, 8, **field)


def values_of(name, label, metric, what):
    """A variable: the values that a label has in a metric (or anywhere), several or all of them."""
    query = f"label_values({metric}, {what})" if metric else f"label_values({what})"
    return {
        "type": "query", "name": name, "label": label, "datasource": SOURCE,
        "query": {"query": query, "refId": name}, "definition": query,
        "refresh": 2, "sort": 1, "multi": True, "includeAll": True, "allValue": ".*",
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]}, "hide": 0, "regex": "", "options": [],
    }


def text(name, label, value, description):
    """A variable that is typed in."""
    return {
        "type": "textbox", "name": name, "label": label, "description": description, "query": value, "hide": 0,
        "current": {"selected": True, "text": value, "value": value},
        "options": [{"selected": True, "text": value, "value": value}],
    }


DATA_SOURCE = {
    "type": "datasource", "name": "datasource", "label": "Data source", "query": "prometheus",
    "current": {}, "hide": 0, "includeAll": False, "multi": False, "refresh": 1, "regex": "", "options": [],
}
RUNBOOK = text("runbook", "Runbook", "RUNBOOK.md", "Where you keep deploy/prometheus/RUNBOOK.md; panels link to its sections.")


def dashboard(uid, title, description, tags, since, variables, rows, see_also):
    """The dashboard; rows are (title, panels), the first without a title."""
    panels, top = [], 0
    for row_title, members in rows:
        if row_title:
            panels.append({"type": "row", "title": row_title, "collapsed": False, "panels": [], "gridPos": {"x": 0, "y": top, "w": COLUMNS, "h": 1}})
            top += 1
        left, height = 0, 0
        for member in members:
            width = member["gridPos"]["w"]
            if left + width > COLUMNS:
                left, top, height = 0, top + height, 0
            member["gridPos"] = {"x": left, "y": top, **member["gridPos"]}
            left, height = left + width, max(height, member["gridPos"]["h"])
            panels.append(member)
        top += height
    for number, panel in enumerate(panels, 1):
        panel["id"] = number
    link = {
        "type": "dashboards", "title": see_also[0], "tags": [see_also[1]], "asDropdown": False, "keepTime": True,
        "includeVars": False, "targetBlank": False, "icon": "external link", "tooltip": "", "url": "",
    }
    return {
        "uid": uid, "title": title, "description": description, "tags": tags, "schemaVersion": 39, "version": 1,
        "editable": True, "graphTooltip": 1, "timezone": "browser", "refresh": "1m", "time": {"from": since, "to": "now"},
        "links": [link], "annotations": {"list": []}, "templating": {"list": [DATA_SOURCE, *variables, RUNBOOK]}, "panels": panels,
    }


def written(board):
    """The file's text: a line for each panel and each variable."""
    def lines(items):
        return "[\n" + ",\n".join("    " + json.dumps(item, ensure_ascii=False) for item in items) + "\n  ]"

    parts = []
    for key, value in board.items():
        if key == "panels":
            value = lines(value)
        elif key == "templating":
            value = '{"list": ' + lines(value["list"]) + "}"
        else:
            value = json.dumps(value, ensure_ascii=False)
        parts.append(f'  "{key}": {value}')
    return "{\n" + ",\n".join(parts) + "\n}\n"
