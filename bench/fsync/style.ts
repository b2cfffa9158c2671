/** The style sheet of the page: light and dark by the reader's own setting, columns by the width of the window. */
export const STYLE = `
:root{color-scheme:light dark;--page:#fbfbfa;--card:#fff;--text:#1c1e21;--dim:#5d646d;--line:#e2e4e8;--axis:#8b929b;
--os:#2f7be0;--interval:#0d9488;--durable-threads:#c97400;--durable-uring:#d11a5b;--kafka:#7b828c;--kafka-flush:#6d3fc4;--addon:#1c1e21}
@media (prefers-color-scheme:dark){:root{--page:#14161a;--card:#1b1e23;--text:#e8eaed;--dim:#a0a7b1;--line:#31363e;--axis:#727a85;
--os:#69a7ff;--interval:#35c2b4;--durable-threads:#f0a33a;--durable-uring:#ff5f95;--kafka:#9aa2ad;--kafka-flush:#b394f7;--addon:#e8eaed}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--text);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
header,main{max-width:1180px;margin:0 auto;padding:0 20px}
header{padding-top:28px}
h1{font-size:1.75rem;line-height:1.2;margin:0 0 12px}
h2{font-size:1.25rem;margin:40px 0 12px}
h3{font-size:1rem;margin:0 0 2px}
section>h3{margin:28px 0 8px}
p{margin:0 0 10px;max-width:80ch}
.machine{color:var(--dim);font-size:.86rem;max-width:none;overflow-wrap:anywhere}
code{font:0.92em ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
.legend{position:sticky;top:0;z-index:1;display:flex;flex-wrap:wrap;gap:4px 18px;list-style:none;margin:28px -20px 0;padding:10px 20px;background:var(--page);border-bottom:1px solid var(--line);font-size:.86rem}
.legend li{display:flex;align-items:center;gap:7px;white-space:nowrap}
.swatch{width:26px;height:14px;flex:none}
.figures{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,460px),1fr));gap:16px}
figure{margin:0;padding:16px 16px 10px;background:var(--card);border:1px solid var(--line);border-radius:8px;min-width:0}
figcaption p{color:var(--dim);font-size:.84rem;line-height:1.4;margin:0 0 10px}
figure svg{display:block;width:100%;height:auto;max-width:580px;margin:0 auto}
svg text{fill:var(--text);font:12.5px system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
svg .tick{fill:var(--dim)}
svg .title{fill:var(--dim)}
svg .middle{text-anchor:middle}
svg .end{text-anchor:end}
.grid{stroke:var(--line);stroke-width:1}
.axis{stroke:var(--axis);stroke-width:1}
.series .line{fill:none;stroke:var(--c);stroke-width:2;stroke-linejoin:round;stroke-linecap:round}
.series.dashed .line{stroke-dasharray:5 5;stroke-width:1.5}
.series .range{stroke:var(--c);stroke-width:1.5;opacity:.55}
.mark{fill:var(--c);stroke:var(--card);stroke-width:1}
.mark .stroke{fill:none;stroke:var(--c);stroke-width:2.4}
.bar{fill:var(--c)}
.bar.kind1{opacity:.45}
.scroll{overflow-x:auto;border:1px solid var(--line);border-radius:8px;background:var(--card);margin:0 0 16px}
table{border-collapse:collapse;font-size:.84rem;font-variant-numeric:tabular-nums;width:100%}
th,td{padding:7px 11px;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
th{color:var(--dim);font-weight:500;vertical-align:bottom;white-space:normal;min-width:5.5em}
.first{text-align:left;position:sticky;left:0;background:var(--card)}
tbody tr:last-child td{border-bottom:0}
.wrap td{white-space:normal;min-width:4.6em}
.wrap td:nth-child(2),.wrap td:nth-child(3){min-width:8em}
.failed{color:var(--durable-uring)}
@media (max-width:600px){body{font-size:15px}header,main{padding-left:12px;padding-right:12px}.legend{position:static;margin-left:-12px;margin-right:-12px;padding-left:12px}figure{padding:12px 10px 8px}h1{font-size:1.4rem}}
@media print{.legend{position:static}figure{break-inside:avoid}}
`
