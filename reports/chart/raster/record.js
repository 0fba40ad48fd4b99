// Draws one chart on a canvas that only writes down what is done to it.
//
// The numbers of a call follow its code; a text is an index into a list. Colours
// and gradients are texts. The player in play.go knows the same codes.
"use strict";
var CODE = {
  begin: 0, move: 1, line: 2, curve: 3, quad: 4, arc: 5, rect: 6, close: 7, fill: 8, stroke: 9,
  clip: 10, save: 11, restore: 12, transform: 13, clear: 14, text: 15, strokeText: 16, ellipse: 17,
};
var numbers = new Float64Array(4096), count = 0, texts = [], index = new Map(), missing = new Map();

function put() {
  if (count + arguments.length > numbers.length) {
    var more = new Float64Array(2 * numbers.length);
    more.set(numbers);
    numbers = more;
  }
  for (var i = 0; i < arguments.length; i++) numbers[count++] = arguments[i];
}
function intern(s) {
  s = String(s);
  var at = index.get(s);
  if (at === undefined) {
    at = texts.length;
    texts.push(s);
    index.set(s, at);
  }
  return at;
}
function lacks(what) { missing.set(what, 1); }

function Gradient(kind, at) { this.kind = kind; this.at = at; this.stops = []; }
Gradient.prototype.addColorStop = function (offset, colour) { this.stops.push([offset, String(colour)]); };
function style(s) { return intern(s instanceof Gradient ? "gradient:" + JSON.stringify(s) : s); }

var FIELDS = {
  fillStyle: "#000000", strokeStyle: "#000000", lineWidth: 1, lineCap: "butt", lineJoin: "miter", miterLimit: 10,
  globalAlpha: 1, globalCompositeOperation: "source-over", font: "10px sans-serif", textAlign: "start",
  textBaseline: "alphabetic", lineDashOffset: 0, shadowBlur: 0, shadowColor: "transparent", shadowOffsetX: 0, shadowOffsetY: 0,
};
function Context(canvas) {
  this.canvas = canvas;
  this.dash = [];
  this.kept = [];
  this.matrix = [1, 0, 0, 1, 0, 0];
  for (var f in FIELDS) this[f] = FIELDS[f];
}
var P = Context.prototype;
P.save = function () {
  var state = { dash: this.dash, matrix: this.matrix };
  for (var f in FIELDS) state[f] = this[f];
  this.kept.push(state);
  put(CODE.save);
};
P.restore = function () {
  var state = this.kept.pop();
  if (!state) return;
  for (var f in state) this[f] = state[f];
  put(CODE.restore);
};
P.setTransform = function (a, b, c, d, e, f) { this.matrix = [a, b, c, d, e, f]; put(CODE.transform, a, b, c, d, e, f); };
P.transform = function (a, b, c, d, e, f) {
  var m = this.matrix;
  this.setTransform(m[0] * a + m[2] * b, m[1] * a + m[3] * b, m[0] * c + m[2] * d, m[1] * c + m[3] * d,
    m[0] * e + m[2] * f + m[4], m[1] * e + m[3] * f + m[5]);
};
P.scale = function (x, y) { this.transform(x, 0, 0, y, 0, 0); };
P.translate = function (x, y) { this.transform(1, 0, 0, 1, x, y); };
P.rotate = function (a) { this.transform(Math.cos(a), Math.sin(a), -Math.sin(a), Math.cos(a), 0, 0); };
P.beginPath = function () { put(CODE.begin); };
P.moveTo = function (x, y) { put(CODE.move, x, y); };
P.lineTo = function (x, y) { put(CODE.line, x, y); };
P.bezierCurveTo = function (a, b, c, d, e, f) { put(CODE.curve, a, b, c, d, e, f); };
P.quadraticCurveTo = function (a, b, c, d) { put(CODE.quad, a, b, c, d); };
P.arc = function (x, y, r, from, to, back) { put(CODE.arc, x, y, r, from, to, back ? 1 : 0); };
P.ellipse = function (x, y, rx, ry, turn, from, to, back) { put(CODE.ellipse, x, y, rx, ry, turn, from, to, back ? 1 : 0); };
P.rect = function (x, y, w, h) { put(CODE.rect, x, y, w, h); };
P.closePath = function () { put(CODE.close); };
P.clip = function () { put(CODE.clip); };
P.paints = function () {
  if (this.globalCompositeOperation !== "source-over") lacks("globalCompositeOperation " + this.globalCompositeOperation);
  if (this.shadowBlur > 0 && this.shadowColor !== "transparent") lacks("shadow");
};
P.fill = function () { this.paints(); put(CODE.fill, style(this.fillStyle), this.globalAlpha); };
P.stroke = function () {
  this.paints();
  put(CODE.stroke, style(this.strokeStyle), this.globalAlpha, this.lineWidth, intern(this.lineCap), intern(this.lineJoin),
    this.miterLimit, this.lineDashOffset, this.dash.length);
  put.apply(null, this.dash);
};
P.setLineDash = function (dash) { this.dash = Array.prototype.slice.call(dash || []); };
P.getLineDash = function () { return this.dash; };
P.clearRect = function (x, y, w, h) { put(CODE.clear, x, y, w, h); };
P.fillRect = function (x, y, w, h) { this.beginPath(); this.rect(x, y, w, h); this.fill(); };
P.strokeRect = function (x, y, w, h) { this.beginPath(); this.rect(x, y, w, h); this.stroke(); };
P.letters = function (code, s, x, y, colour, width) {
  this.paints();
  put(code, intern(s), x, y, intern(this.font), intern(this.textAlign), intern(this.textBaseline), style(colour), this.globalAlpha, width);
};
P.fillText = function (s, x, y) { this.letters(CODE.text, s, x, y, this.fillStyle, 0); };
P.strokeText = function (s, x, y) { this.letters(CODE.strokeText, s, x, y, this.strokeStyle, this.lineWidth); };
P.measureText = function (s) { return { width: __measure(String(s), this.font) }; };
P.createLinearGradient = function (a, b, c, d) { return new Gradient("linear", [a, b, c, d]); };
P.createRadialGradient = function (a, b, c, d, e, f) { lacks("radial gradient"); return new Gradient("radial", [a, b, c, d, e, f]); };
P.createPattern = function () { lacks("pattern"); return "transparent"; };
P.drawImage = function () { lacks("image"); };
P.getImageData = function () { lacks("getImageData"); return { data: [] }; };

function Canvas(w, h) { this.width = w; this.height = h; this.context = new Context(this); }
Canvas.prototype.getContext = function () { return this.context; };
Canvas.prototype.addEventListener = Canvas.prototype.removeEventListener = function () {};

var setTimeout = function () { return 0; }, clearTimeout = function () {};
function connect() {
  echarts.setPlatformAPI({
    createCanvas: function () { return new Canvas(1, 1); },
    measureText: function (s, font) { return { width: __measure(String(s), font || "12px sans-serif") }; },
    loadImage: function () { lacks("image"); return null; },
    getTime: function () { return 0; }, // no picture depends on how fast it was drawn
  });
}

// record draws an option and returns what was drawn: {numbers, count, texts,
// missing}.
function record(text, width, height, ratio, family) {
  count = 0;
  texts = [];
  index.clear();
  missing.clear();
  var option = JSON.parse(text);
  if (typeof writeNumbers === "function") writeNumbers(option);
  option.animation = false;
  option.useUTC = true;
  option.backgroundColor = "#ffffff";
  option.textStyle = Object.assign({}, option.textStyle, { fontFamily: family });
  option.tooltip = { show: false };
  option.toolbox = undefined;
  (option.series || []).forEach(function (s) { s.progressive = 0; s.animation = false; });
  var chart = echarts.init(new Canvas(width, height), null, {
    renderer: "canvas", width: width, height: height, devicePixelRatio: ratio / 2, ssr: true,
  });
  try {
    chart.setOption(option);
    count = 0; // what was written until now is the set-up
    chart.renderToCanvas({ pixelRatio: ratio });
    return { numbers: numbers.buffer, count: count, texts: JSON.stringify(texts), missing: Array.from(missing.keys()).join(", ") };
  } finally {
    chart.dispose();
  }
}
