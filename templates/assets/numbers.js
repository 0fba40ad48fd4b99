// writeNumbers has a chart write its numbers as the language of its reader does: the page
// and the pictures both call it, since ECharts itself knows only the English way. What the
// option says in numbers, {decimal, group, minus}, is not an option of ECharts.
function writeNumbers(option) {
  "use strict";
  var signs = option.numbers;
  delete option.numbers;
  if (!signs) return;
  function write(value) {
    if (typeof value !== "number" || !isFinite(value)) return "–";
    var parts = String(Number(Math.abs(value).toPrecision(12))).split(".");
    var text = parts[0].replace(/\B(?=(\d{3})+$)/g, signs.group);
    if (parts[1]) text += signs.decimal + parts[1];
    return (value < 0 ? signs.minus : "") + text;
  }
  [].concat(option.xAxis || [], option.yAxis || []).forEach(function (axis) {
    if (axis.axisLabel && axis.axisLabel.formatter === "{value}") axis.axisLabel.formatter = write;
  });
  if (option.tooltip) option.tooltip.valueFormatter = write;
}
