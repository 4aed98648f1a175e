# Figures of jobs/compare.sh. Variables: folder of the tables; part; kind, svg or png.
set datafile separator ','
size_x = 900
size_y = 320
if (kind eq 'svg') {
  set terminal svg size size_x,size_y font 'sans-serif,12' background 'white'
} else {
  set terminal pngcairo size 2*size_x,2*size_y font 'sans-serif,11' fontscale 1.8 linewidth 2
}
set output sprintf('%s/%s.%s', folder, part, kind)
file(name) = sprintf('%s/%s.csv', folder, name)
mib = 1.0 / 1048576

set style line 1 linecolor rgb '#0b6e99' linewidth 2 pointtype 7 pointsize 0.6
set style line 2 linecolor rgb '#d9730d' linewidth 2 pointtype 5 pointsize 0.6
set border 3 linecolor rgb '#888888'
set tics nomirror textcolor rgb '#333333'
set grid ytics linecolor rgb '#dddddd' linewidth 1
set key top left reverse Left samplen 2 textcolor rgb '#333333'
set offsets 0, graph 0.02, graph 0.3, 0 # space for the key
set autoscale xfix

# A chart of both models, by table, factor, and their columns (first, second).
lines = 'plot file(table) every ::1 using 1:(factor*column(first)) with linespoints linestyle 1 title "RetNet", \
  file(table) every ::1 using 1:(factor*column(second)) with linespoints linestyle 2 title "Transformer"'
by_length = 'set logscale xy; set format y "%g"; \
  set xtics ("64" 64, "128" 128, "256" 256, "512" 512, "1k" 1024, "2k" 2048, "4k" 4096, "8k" 8192, \
             "16k" 16384, "32k" 32768, "64k" 65536)'

if (part eq 'quality') {
  set multiplot
  set size 0.55, 1
  set lmargin at screen 0.19
  set title 'Validation perplexity'
  set offsets 0, 0, 0, 0
  set style fill solid 1 noborder
  set xrange [0:*]
  set yrange [-6.6:0.6]
  set grid noytics xtics
  plot file('quality') every ::1 using 4:(-$0):(0):4:(-$0-0.35):(-$0+0.35):\
    ($0 == 1 ? 0xd9730d : 0x0b6e99):ytic(1) with boxxyerror linecolor rgb variable notitle, \
    '' every ::1 using 4:(-$0):(sprintf('%.2f', $4)) with labels right offset -0.5,0 \
    textcolor rgb 'white' notitle
  set size 0.42, 1
  set origin 0.58, 0
  set lmargin at screen 0.65
  set rmargin at screen 0.98
  set title 'Perplexity by length of the context, tokens'
  set autoscale
  set autoscale xfix
  set offsets 0, graph 0.02, graph 0.3, 0
  set grid ytics noxtics
  set ytics autofreq
  eval by_length
  unset logscale y
  table = 'context'; factor = 1; first = 2; second = 3
  eval lines
  unset multiplot
}

if (part eq 'training') {
  set multiplot layout 1,2
  eval by_length
  set title 'Training: tokens/s by length of the sequence'
  table = 'training'; factor = 1; first = 2; second = 4
  eval lines
  set title 'Training: peak memory, MiB, by length of the sequence'
  factor = mib; first = 3; second = 5
  eval lines
  unset multiplot
}

if (part eq 'decoding') {
  set multiplot layout 1,3
  eval by_length
  set title 'ms per token, by position'
  table = 'positions'; factor = 1e3; first = 2; second = 4
  eval lines
  set title 'State, MiB, by position'
  factor = mib; first = 3; second = 5
  eval lines
  set title 'Tokens/s, by sequences'
  set xtics ('1' 1, '2' 2, '4' 4, '8' 8, '16' 16)
  table = 'sequences'; factor = 1; first = 2; second = 4
  eval lines
  unset multiplot
}
