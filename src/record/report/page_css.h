#pragma once

namespace fovea::report {

inline constexpr const char* kPageCss = R"(
:root{--paper:#fff;--soft:#6a6f77;--wash:#f6f7f8;--warn:#a33b00;--holds:#17713a;--fails:#b3261e}
@media (prefers-color-scheme:dark){:root{--paper:#16181b;--soft:#989da5;--wash:#1e2125;--warn:#f0955c;--holds:#5cc687;--fails:#ff8f86}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0 auto;max-width:52rem;padding:4rem 1.5rem 6rem;background:var(--paper);color:var(--ink);
 font:1rem/1.6 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,"DejaVu Sans",sans-serif}
header{margin-bottom:3rem}
.kind{margin:0;color:var(--soft);font-size:.875rem}
h1{margin:.25rem 0 .5rem;font-size:2.125rem;line-height:1.2;font-weight:600;letter-spacing:-.015em}
h2{margin:0 0 1rem;font-size:1.1875rem;line-height:1.3;font-weight:600}
.lead{margin:0;color:var(--soft);max-width:40rem}
section{margin:0 0 3.5rem}
.findings ul{margin:0;padding:0;list-style:none;max-width:44rem}
.findings li{padding:.625rem 0;border-top:1px solid var(--rule)}
.findings li:last-child{border-bottom:1px solid var(--rule)}
.claims p{margin:0 0 1rem;max-width:44rem}
.claims .claim th{padding-top:1rem;white-space:normal;font-weight:400;max-width:46rem}
.claims .says{font-size:.9375rem}
.claims cite{color:var(--soft);font-style:normal}
.claims code{color:var(--soft);font-size:.75rem}
.claims .reason{white-space:normal;color:var(--soft)}
.verdict{font-weight:600}
.verdict.holds{color:var(--holds)}
.verdict.fails{color:var(--fails)}
.verdict.underpowered{color:var(--warn)}
.verdict.untestable{color:var(--soft);font-weight:400}
.warn h2{color:var(--warn)}
.warn ul{margin:0;padding-left:1.25rem;overflow-wrap:anywhere}
figure{margin:0}
svg{display:block;width:100%;height:auto}
svg text{font-family:inherit;font-variant-numeric:tabular-nums}
figcaption{margin-top:.75rem;color:var(--soft);font-size:.875rem;line-height:1.5;max-width:42rem}
a{color:inherit}
details{margin-top:1rem;font-size:.875rem}
summary{cursor:pointer;color:var(--soft)}
summary:hover{color:var(--ink)}
.wide{overflow-x:auto;margin-top:.5rem}
table{border-collapse:collapse;font-size:.8125rem;line-height:1.4;font-variant-numeric:tabular-nums}
th,td{padding:.3125rem .875rem .3125rem 0;text-align:left;vertical-align:baseline;white-space:nowrap}
th:last-child,td:last-child{padding-right:0}
thead th{white-space:normal;color:var(--soft);font-weight:400;border-bottom:1px solid var(--ink);vertical-align:bottom}
tbody tr+tr>*{border-top:1px solid var(--rule)}
.n{text-align:right}
.facts th{color:var(--soft);font-weight:400;padding-right:1.5rem}
.facts td{white-space:normal;overflow-wrap:anywhere}
code,pre{font:.8125rem/1.5 ui-monospace,"SF Mono",Menlo,Consolas,"DejaVu Sans Mono",monospace}
pre{margin:.5rem 0 0;padding:1rem;background:var(--wash);overflow-x:auto}
strong{font-weight:600}
@media print{body{padding:0;max-width:none}details{display:none}}
)";

}  // namespace fovea::report
