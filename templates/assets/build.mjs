// Bundles entry.js into dist/echarts.min.js, with the licences of what is in it.
import { build } from "esbuild";
import { copyFile, mkdir, readFile, rename } from "node:fs/promises";

const { version } = JSON.parse(await readFile("node_modules/echarts/package.json", "utf8"));
const banner = `/*! Apache ECharts ${version} (Apache-2.0), with ZRender (BSD-3-Clause), tslib (0BSD) and parts of d3 (BSD-3-Clause).
Copyright The Apache Software Foundation, Baidu Inc., Microsoft Corporation, Mike Bostock. https://echarts.apache.org */`;

await mkdir("dist", { recursive: true });
await build({
  entryPoints: ["entry.js"],
  outfile: "dist/echarts.tmp.js",
  bundle: true,
  minify: true,
  format: "iife",
  globalName: "echarts",
  target: "es2015",
  legalComments: "none",
  banner: { js: banner },
  define: { "process.env.NODE_ENV": '"production"' },
  logLevel: "warning",
});
for (const [from, to] of [
  ["echarts/LICENSE", "LICENSE-echarts.txt"], ["echarts/NOTICE", "NOTICE-echarts.txt"],
  ["echarts/licenses/LICENSE-d3", "LICENSE-d3.txt"], ["zrender/LICENSE", "LICENSE-zrender.txt"],
  ["tslib/LICENSE.txt", "LICENSE-tslib.txt"],
]) {
  await copyFile(`node_modules/${from}`, `dist/${to}`);
}
// Under its final name only when everything else is there.
await rename("dist/echarts.tmp.js", "dist/echarts.min.js");
