"""Colours and the style sheet: one for the page, light and dark, and the same for a picture alone."""

from __future__ import annotations

from typing import Final

LIGHT: Final = {
    "ground": "#ffffff",
    "surface": "#f5f6f8",
    "hairline": "#d5d9e0",
    "edge": "#767d8a",
    "text": "#14181f",
    "muted": "#4d5664",
    "link": "#0b57c2",
    "waiting": "#7a4300",
    "waiting-ground": "#fff3dd",
    "running": "#0b4fb0",
    "running-ground": "#e8f0fd",
    "done": "#0a5f46",
    "done-ground": "#e5f4ee",
    "refused": "#a8201a",
    "refused-ground": "#fdeceb",
    "unknown": "#5f2aa3",
    "unknown-ground": "#f2eafc",
    "ended": "#4d5664",
    "ended-ground": "#eceef2",
}
DARK: Final = {
    "ground": "#0f1318",
    "surface": "#181d25",
    "hairline": "#2c343f",
    "edge": "#778292",
    "text": "#e6e9ee",
    "muted": "#a5afbc",
    "link": "#82b5ff",
    "waiting": "#ffc46f",
    "waiting-ground": "#33250c",
    "running": "#93beff",
    "running-ground": "#132441",
    "done": "#63d6ab",
    "done-ground": "#0d2b21",
    "refused": "#ff9b93",
    "refused-ground": "#3b1714",
    "unknown": "#cdaaff",
    "unknown-ground": "#2b1d43",
    "ended": "#a5afbc",
    "ended-ground": "#242b35",
}
BLUE: Final = "#0072b2"
ORANGE: Final = "#d55e00"
"""The pair that stays apart for everybody and on both grounds; a text or a mark always says the same."""
TONES: Final = ("waiting", "running", "done", "refused", "unknown", "ended")


def chart_style(colours: dict[str, str]) -> str:
    """The rules of what `svg` draws, as plain CSS 2: a renderer outside a browser knows no variables."""
    c = colours
    rules = [
        f".t{{fill:{c['text']}}}.m{{fill:{c['muted']}}}.b{{font-weight:700}}",
        f".ground{{fill:{c['ground']}}}.band{{fill:{c['surface']}}}.grid{{stroke:{c['hairline']};fill:none}}",
        f".range{{stroke:{c['edge']};fill:none}}.base{{stroke:{c['edge']};fill:none}}",
        f".line{{stroke:{c['text']};fill:none}}.before{{stroke:{c['edge']};fill:none}}",
        f".second{{stroke:{BLUE};fill:none;stroke-dasharray:5 3}}",
        f".lead{{stroke:{ORANGE};fill:none;stroke-dasharray:1 3}}.ring{{stroke:{ORANGE};fill:none}}",
        f".mark{{fill:{ORANGE}}}.bar{{fill:{BLUE}}}.strong{{fill:{ORANGE}}}",
        f".bound{{stroke:{c['text']};fill:none;stroke-dasharray:4 3}}",
    ]
    for tone in TONES:
        rules.append(f".{tone}-ink{{fill:{c[tone]}}}.{tone}-icon{{stroke:{c[tone]};fill:none}}")
        rules.append(f".{tone}-ground{{fill:{c[f'{tone}-ground']}}}")
    return "".join(rules)


COMMON: Final = (
    "svg text{font-size:12px}svg text.title{font-size:20px}"
    ".line,.before{stroke-width:1.6;stroke-linejoin:round;stroke-linecap:round}.second{stroke-width:4}.ring,.bound,.lead{stroke-width:1.3}"
)

LAYOUT: Final = """
*{box-sizing:border-box}
html{font:400 .875rem/1.25rem system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;
font-variant-numeric:tabular-nums;color-scheme:light dark}
body{margin:0 auto;max-width:90rem;padding:1rem 1.5rem 2rem}
h1{font-size:1.25rem;line-height:1.75rem;margin:0}
h2{font-size:.9375rem;margin:1.5rem 0 .5rem}
h3{font-size:.875rem;margin:0 0 .25rem;overflow-wrap:anywhere}
p{margin:.25rem 0;max-width:75ch}
a:focus-visible,[tabindex]:focus-visible{outline-style:solid;outline-width:2px;outline-offset:2px}
dl{display:flex;flex-wrap:wrap;gap:.5rem;margin:.5rem 0}
dl>div{border-width:1px;border-style:solid;border-radius:4px;padding:.5rem .75rem;min-width:8rem}
dt{font-size:.8125rem}
dd{margin:0;font-size:.9375rem;font-weight:700}
dd small{display:block;font-size:.75rem;font-weight:400;max-width:26ch}
code,.id{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;font-size:.8125rem;overflow-wrap:anywhere}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.8125rem}
caption{text-align:left;padding:0 0 .25rem;font-size:.8125rem}
th,td{text-align:left;vertical-align:top;padding:.25rem .75rem .25rem 0;border-bottom-width:1px;
border-bottom-style:solid}
th{font-weight:700;white-space:nowrap}
td{overflow-wrap:break-word}
td.n{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
.n{text-align:right;white-space:nowrap}
.k{white-space:nowrap}
.runs{min-width:64rem}
.runs .s{min-width:9rem;max-width:16rem;overflow-wrap:anywhere}
.runs .w{min-width:22rem;overflow-wrap:anywhere}
.state{display:inline-flex;align-items:center;gap:.25rem;padding:0 .375rem;border-radius:4px;white-space:nowrap;
vertical-align:middle}
.state svg{width:1rem;height:1rem;flex:none}
.outcomes .state{margin-right:.5rem}
svg path.i{stroke-width:1.6;stroke-linecap:round;stroke-linejoin:round}
figure{margin:0 0 1rem;border-width:1px;border-style:solid;border-radius:4px;padding:.75rem;display:grid;
grid-template-columns:minmax(0,1fr) 29rem;gap:.5rem 1.5rem}
figcaption{grid-column:1/-1}
figcaption p{font-size:.8125rem;max-width:none}
figure .scroll>svg{display:block;width:100%;min-width:700px;height:auto}
figure>.beside table{font-size:.75rem}
figure>.beside td,figure>.beside th{padding-right:.5rem}
figure>.beside .n{font-size:.75rem}
figure>.beside{max-height:26rem;overflow:auto;align-self:start}
ul{margin:.25rem 0;padding-left:1.25rem;font-size:.8125rem;overflow-wrap:anywhere}
footer{margin-top:1.5rem;font-size:.8125rem}
@media (max-width:77rem){figure{grid-template-columns:minmax(0,1fr)}}
@media (max-width:30rem){body{padding:.75rem}}
@media print{
@page{size:A4;margin:12mm}
html{font-size:11px}body{padding:0;max-width:none}
figure{break-inside:avoid;grid-template-columns:minmax(0,1fr);padding:.5rem}
figure>.beside{max-height:none;overflow:visible}
figure .scroll>svg,.runs,.runs .s,.runs .w{min-width:0}
.scroll{overflow:visible}tr,dl>div{break-inside:avoid}thead{display:table-header-group}h2,h3{break-after:avoid}
*{-webkit-print-color-adjust:exact;print-color-adjust:exact}}
"""


def page_style() -> str:
    """The style sheet of a page: light, and dark on a screen that asks for it; paper is always light."""
    dark = f"@media screen and (prefers-color-scheme:dark){{{_paint(DARK)}}}"
    forced = "@media (forced-colors:active){.state{border:1px solid}}"
    return f"{LAYOUT}{COMMON}{_paint(LIGHT)}{dark}{forced}"


def picture_style(colours: dict[str, str]) -> str:
    """The style sheet of a picture that stands alone."""
    return COMMON + chart_style(colours)


def _paint(c: dict[str, str]) -> str:
    rules = [
        f"html{{background:{c['ground']};color:{c['text']}}}a{{color:{c['link']}}}",
        f"a:focus-visible,[tabindex]:focus-visible{{outline-color:{c['link']}}}",
        f"dt,caption,footer,.muted,dd small{{color:{c['muted']}}}th,td{{border-color:{c['hairline']}}}",
        f"dl>div,figure{{border-color:{c['hairline']}}}dl>div{{background:{c['surface']}}}",
    ]
    rules += [f".state.{tone}{{color:{c[tone]};background:{c[f'{tone}-ground']}}}" for tone in TONES]
    return "".join(rules) + chart_style(c)
