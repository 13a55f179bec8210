// The contrast of every text on the page against what lies behind it, by WCAG 2.2: those below 4.5 (3 where large).
(() => {
  const parse = (text) => { const [r, g, b, a = 1] = text.match(/[\d.]+/g).map(Number); return [r, g, b, a]; };
  const over = (top, under) => top.slice(0, 3).map((value, i) => value * top[3] + under[i] * (1 - top[3])).concat(1);
  const light = (c) => {
    const [r, g, b] = c.map((value) => { const s = value / 255; return s <= 0.04045 ? s / 12.92 : ((s + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    const layers = [];
    for (let one = element; one; one = one.parentElement) {
      const colour = parse(getComputedStyle(one).backgroundColor);
      layers.push(colour);
      if (colour[3] === 1) break;
    }
    return layers.reverse().reduce((under, layer) => over(layer, under), [255, 255, 255, 1]);
  };
  const texts = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) if (walker.currentNode.textContent.trim()) texts.push(walker.currentNode.parentElement);
  for (const field of document.querySelectorAll("input")) if (field.value) texts.push(field);
  const seen = [...new Set(texts)].filter((one) => one.checkVisibility({ visibilityProperty: true, opacityProperty: true }) && !["SCRIPT", "STYLE", "NOSCRIPT"].includes(one.tagName));
  const found = seen.map((one) => {
    const style = getComputedStyle(one), ground = behind(one), svg = one.namespaceURI.endsWith("svg");
    const ink = over(parse(svg ? style.fill : style.color), ground), [dark, bright] = [light(ink), light(ground)].sort((a, b) => a - b);
    const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    return { ratio: (bright + 0.05) / (dark + 0.05), least: large ? 3 : 4.5, text: (one.value || one.textContent).trim().slice(0, 40), id: one.id || one.className?.baseVal || one.className };
  });
  return { count: found.length, bad: found.filter((one) => one.ratio < one.least), lowest: Math.min(...found.map((one) => one.ratio)) };
})()
