/** ckpt-merge: merge the checkpoints of a pre-training run. */

export type { BenchOptions, BenchReport } from './analysis/bench/bench-machine.ts';
export { benchMachine } from './analysis/bench/bench-machine.ts';
export type { DiffOptions, DiffRunOptions } from './analysis/diff/diff.ts';
export { diff } from './analysis/diff/diff.ts';
export { diffPage } from './analysis/diff/page.ts';
export type {
  DiffCell,
  DiffDocument,
  DiffExpertCell,
  DiffFinding,
  DiffLayerCell,
  DiffPair,
  DiffRole,
  DiffTensor,
  DiffUncompared,
  Distance,
  FindingKind,
} from './analysis/diff/types.ts';
export type { DoctorReport } from './analysis/doctor/doctor.ts';
export { doctor } from './analysis/doctor/doctor.ts';
export type { SectionTotals, TensorChunk } from './analysis/inspect/contents.ts';
export type { DtypeTotals, InspectedTensor, Inspection, RoleTotals } from './analysis/inspect/inspect.ts';
export { inspect } from './analysis/inspect/inspect.ts';
export { routersPage } from './analysis/routers/page.ts';
export type { RoutersOptions, RoutersProgress, RoutersRunOptions } from './analysis/routers/routers.ts';
export { routers } from './analysis/routers/routers.ts';
export type {
  Evaluation,
  IdentitySample,
  LayerReport,
  RouterDrift,
  RouterReport,
  RouterVariant,
  ScoreDifference,
  VariantScore,
  Verdict,
} from './analysis/routers/types.ts';
export type { IntegrityReport } from './analysis/verify/integrity.ts';
export type { VerifyOptions, VerifyReport } from './analysis/verify/verify.ts';
export { verify } from './analysis/verify/verify.ts';
export type { AveragedDtypeName, DtypeName, FloatDtypeName } from './base/dtype.ts';
export type { Conflict, ErrorCode, ErrorDetails, Warning, WarningCode } from './base/errors.ts';
export { EXIT, MergeError } from './base/errors.ts';
export { version } from './base/version.ts';
export { discoverRun, isRunFolder } from './checkpoints/run/discover.ts';
export type { ListedCheckpoint, RunDocument } from './checkpoints/run/document.ts';
export { runDocument } from './checkpoints/run/document.ts';
export { type LoggedMetrics, readMetricsFile, withMetrics } from './checkpoints/run/metrics-file.ts';
export { withTokens } from './checkpoints/run/token-source.ts';
export type { Excluded, QuantityText, Run, RunCheckpoint, TokenSource } from './checkpoints/run/types.ts';
export type { LogEntry, Position } from './checkpoints/types.ts';
export type { AverageOptions, RunOptions, WeightedInput } from './merge/average.ts';
export { average, averageEvents, plan } from './merge/average.ts';
export type { ConvertOptions } from './merge/convert.ts';
export { convert, convertEvents, planConversion } from './merge/convert.ts';
export type { MergedOutput, MergeEvent, MergeResult, ProgressEvent } from './merge/engine/events.ts';
export { resumptions } from './merge/engine/resumption.ts';
export { grid, gridEvents, gridRecipe, planGrid } from './merge/grid/grid.ts';
export type { GridBatch, GridEvent, GridOptions, GridOutput, GridPlan, GridResult, GridRunOptions } from './merge/grid/types.ts';
export type { PlanDocument } from './merge/plan/document.ts';
export { planDocument } from './merge/plan/document.ts';
export { expectedTime } from './merge/plan/expected-time.ts';
export type { MergedMember, Plan, PlanMember, PlanOutput, Resumption } from './merge/plan/types.ts';
export type { RoundingFigure } from './merge/record/rounding.ts';
export type { MachineOptions } from './merge/run.ts';
export { planRecipe, recipeEvents, runRecipe } from './merge/run.ts';
export type { PairIdentity } from './model/places/types.ts';
export { classifier } from './model/roles/classify.ts';
export { namingContext } from './model/roles/context.ts';
export type { Classify, NamingContext, Role, TensorRole } from './model/roles/types.ts';
export { ROLES } from './model/roles/types.ts';
export { routingFunction } from './model/routing/functions.ts';
export { route } from './model/routing/route.ts';
export type { LayerChoice, Load, MemberChoice, Routes, RoutingFunction } from './model/routing/types.ts';
export { readRecipe, recipeJsonSchema } from './recipe/file/read.ts';
export { gridJsonSchema, readGrid } from './recipe/grid/read.ts';
export type { Grid, OneOrMore } from './recipe/grid/types.ts';
export type { OutsidePath } from './recipe/outside.ts';
export { parsePolicy } from './recipe/policy/parse.ts';
export { ROLE_GROUPS } from './recipe/policy/roles.ts';
export type { TreatmentRow } from './recipe/policy/table.ts';
export { policyText } from './recipe/policy/text.ts';
export type { Policy, PolicyRequest, RouterUse, Selector, Several, Use } from './recipe/policy/types.ts';
export type { DecayName, ScheduleName, WeightRequest } from './recipe/schedule/types.ts';
export type { Selection } from './recipe/select/types.ts';
export type { Purpose, Recipe, RecipeOutput } from './recipe/types.ts';
export type { Arm, ArmReference, ArmRow, ArtefactConclusion, ArtefactInput } from './search/conclusion/artefact.ts';
export { concludeArtefact } from './search/conclusion/artefact.ts';
export type {
  EndpointScore,
  EndpointScores,
  RecipeDifference,
  RecipeRow,
  RecipesConclusion,
  RecipesInput,
} from './search/conclusion/replicates.ts';
export { concludeRecipes } from './search/conclusion/replicates.ts';
export type { Baseline, PosteriorDrawing } from './search/conclusion/types.ts';
export { type ExportOptions, type ExportReport, exportScores } from './search/export/export.ts';
export type { BranchScore } from './search/forecast/calibrate.ts';
export { readForecast } from './search/forecast/document.ts';
export type { ForecastRunOptions } from './search/forecast/forecast.ts';
export { forecast, forecastEvents } from './search/forecast/forecast.ts';
export type { ForecastOptions } from './search/forecast/options.ts';
export { forecastPage } from './search/forecast/page.ts';
export type { Branch, ForecastDocument, ForecastPoint } from './search/forecast/types.ts';
export type { GridModel } from './search/grid/models.ts';
export { gridModels } from './search/grid/models.ts';
export type { GridScoreOptions } from './search/grid/options.ts';
export { gridPage } from './search/grid/page.ts';
export type { GridScoring } from './search/grid/plan.ts';
export { planGridScores } from './search/grid/plan.ts';
export { readGridScores } from './search/grid/report.ts';
export type { GridScoreRunOptions } from './search/grid/score.ts';
export { scoreGrid, scoreGridEvents } from './search/grid/score.ts';
export type { GridReference, GridScores, ScoredOutput } from './search/grid/types.ts';
export type { GreedySoup, SoupIngredient } from './search/optimise/greedy.ts';
export type { SearchOptions, SoupOptions } from './search/optimise/options.ts';
export { searchPage } from './search/optimise/page.ts';
export { readSearch } from './search/optimise/report.ts';
export type { SearchRunOptions } from './search/optimise/search.ts';
export { search, searchEvents } from './search/optimise/search.ts';
export { soup, soupEvents } from './search/optimise/soup.ts';
export type { BestTrial, ChainPair, SearchDocument } from './search/optimise/types.ts';
export type { ScoreFunction, ScoreGiven } from './search/study/scorer.ts';
export type { StudyEvent, Trial } from './search/study/types.ts';
export { type KeepOptions, type KeepReport, type KeptSave, keep } from './upkeep/keep/keep.ts';
export { type FolderServer, type ServeOptions, serveFolder } from './upkeep/serve/serve.ts';
export { planStrip, strip, stripEvents } from './upkeep/strip/strip.ts';
export type { StripEvent, StripOptions, StrippedSave, StripReport } from './upkeep/strip/types.ts';
export type { WatchEvent, WatchMember, WatchOptions, WatchRecord, WatchSummary, WindowSelection } from './upkeep/watch/types.ts';
export { watch, watchEvents } from './upkeep/watch/watch.ts';
