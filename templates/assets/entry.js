// The parts of Apache ECharts that the charts of package reports/chart may use.
// An unregistered series type draws nothing and reports nothing, so this list
// and the chart definitions change together.
import * as core from "echarts/core";
import { BarChart, HeatmapChart, LineChart, PieChart, ScatterChart } from "echarts/charts";
import {
  AriaComponent, DatasetComponent, DataZoomInsideComponent, GridComponent, LegendComponent,
  MarkLineComponent, MarkPointComponent, TitleComponent, TooltipComponent, VisualMapComponent,
} from "echarts/components";
import { LabelLayout, LegacyGridContainLabel } from "echarts/features";
import { CanvasRenderer } from "echarts/renderers";

core.use([
  BarChart, HeatmapChart, LineChart, PieChart, ScatterChart,
  AriaComponent, DatasetComponent, DataZoomInsideComponent, GridComponent, LegendComponent,
  MarkLineComponent, MarkPointComponent, TitleComponent, TooltipComponent, VisualMapComponent,
  LabelLayout, LegacyGridContainLabel, CanvasRenderer,
]);

export const init = core.init;
export const setPlatformAPI = core.setPlatformAPI;
export const version = core.version;
