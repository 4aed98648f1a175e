# Prints one chart of a page of retnet-report as an SVG file of its own, for a README: with the texts
# of the axes, and with colours for light and dark themes.
# usage: perl chart.pl REPORT.html ID > chart.svg       (ID: loss, lr, grad-norm, throughput ...)
use strict;
use warnings;

my ($page, $id) = @ARGV == 2 ? @ARGV : die "usage: chart.pl REPORT.html ID\n";
open my $in, '<', $page or die "cannot read $page: $!\n";
my $html = do { local $/; <$in> };
my ($figure) = $html =~ m{<figure class="chart" id="\Q$id\E">(.*?)</figure>}s
  or die "$page has no chart $id\n";
my ($title, $about) = $figure =~ m{<h3>(.*?)</h3><p>(.*?)</p>}s or die "$page: no title of $id\n";
my ($paths) = $figure =~ m{<svg[^>]*>(.*?)</svg>}s or die "$page: the chart $id is empty\n";
my ($width, $height) = (1000, 400);
my $labels = '';
while ($figure =~ m{<span class="([xy])" style="\w+:([\d.]+)%">(.*?)</span>}g) {
  my ($axis, $at, $text) = ($1, $2 / 100, $3);
  $labels .=
    $axis eq 'x'
    ? sprintf qq{<text x="%.1f" y="%d" text-anchor="middle">%s</text>\n}, $at * $width,
    $height + 28, $text
    : sprintf qq{<text x="-12" y="%.1f" text-anchor="end">%s</text>\n}, $at * $height + 6, $text;
}
print <<"SVG";
<svg xmlns="http://www.w3.org/2000/svg" viewBox="-80 -70 1120 520" role="img" aria-label="$title by step">
<style>
  svg { --page: #fff; --text: #1a1a19; --quiet: #5f5e5a; --rule: #d9d8d3; --r0: #2a78d6; --r1: #c2410c; }
  \@media (prefers-color-scheme: dark) {
    svg { --page: #161615; --text: #f1f0ee; --quiet: #b0aea7; --rule: #3b3a37; --r0: #5aa2f0; --r1: #f08a4b; }
  }
  text { font: 19px system-ui, sans-serif; fill: var(--quiet); }
  path { fill: none; stroke: var(--r0); stroke-linejoin: round; }
  .r1 { stroke: var(--r1); }
  .grid { stroke: var(--rule); }
  .line { stroke-width: 3px; } .thin { stroke-width: 1.5px; opacity: .4; }
  .dashed { stroke-width: 2px; stroke-dasharray: 6 6; } .dots { stroke-width: 11px; stroke-linecap: round; }
</style>
<rect x="-80" y="-70" width="1120" height="520" rx="10" style="fill: var(--page)"/>
<text x="0" y="-42" style="fill: var(--text); font-weight: 600">$title</text>
<text x="0" y="-16">$about</text>
$labels$paths
</svg>
SVG
