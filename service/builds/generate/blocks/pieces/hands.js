function hands(o) {
  const names = Object.keys(o.buttons);
  let score = { you: 0, other: 0, draws: 0 };
  const tell = () => { put(o.you, String(score.you)); put(o.other, String(score.other)); put(o.draws, String(score.draws)); };
  names.forEach((name, mine) => on(o.buttons[name], "click", () => {
    const theirs = Math.floor(Math.random() * 3), result = (3 + mine - theirs) % 3;
    put(o.choice, o.labels[theirs]);
    put(o.own, o.labels[mine]);
    score[["draws", "you", "other"][result]] += 1;
    put(o.result, [o.drawText, o.winText, o.loseText][result]);
    tell();
  }));
  on(o.reset, "click", () => { score = { you: 0, other: 0, draws: 0 }; put(o.choice, ""); put(o.result, ""); put(o.own, ""); tell(); });
  tell();
}
