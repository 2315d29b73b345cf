function tally(o) {
  const key = o.key || "tally";
  let counts = o.counters.map(() => 0);
  if (o.keeps) {
    const before = kept.list(key, Number.isFinite);
    if (before.length === counts.length) counts = before;
  }
  const show = () => {
    if (o.keeps) kept.set(key, counts);
    const all = counts.reduce((sum, count) => sum + count, 0), most = Math.max(...counts), best = counts.filter((count) => count === most).length === 1;
    o.counters.forEach(({ count, share }, number) => {
      put(count, String(counts[number]));
      if (share) put(share, `${(all ? (100 * counts[number]) / all : 0).toFixed(o.decimals ?? 0)}%`);
    });
    put(o.share, all ? `${((100 * counts[o.shareOf]) / all).toFixed(o.decimals ?? 0)}%` : o.noneText ?? "0%");
    put(o.total, String(all));
    put(o.leader, all === 0 ? o.noneText ?? "" : best ? o.counters[counts.indexOf(most)].label : o.tieText ?? "Tie");
  };
  o.counters.forEach(({ button }, number) => on(button, "click", () => { counts[number] += 1; show(); }));
  on(o.reset, "click", () => { counts = counts.map(() => 0); show(); });
  show();
}
