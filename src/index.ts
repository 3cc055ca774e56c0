/** ckpt-merge: merge the checkpoints of a pre-training run. */

export type { AverageOptions, RunOptions, WeightedInput } from './average.ts';
export { average, averageEvents, plan } from './average.ts';
export type { BenchOptions, BenchReport } from './bench/bench-machine.ts';
export { benchMachine } from './bench/bench-machine.ts';
export type { DiffOptions, DiffRunOptions } from './diff/diff.ts';
export { diff } from './diff/diff.ts';
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
} from './diff/types.ts';
export type { DoctorReport } from './doctor/examine.ts';
export { examine } from './doctor/examine.ts';
export type { AveragedDtypeName, DtypeName, FloatDtypeName } from './dtype.ts';
export type { MergedMember, MergedOutput, MergeEvent, MergeResult, ProgressEvent } from './engine/events.ts';
export type { Conflict, ErrorCode, ErrorDetails, Warning, WarningCode } from './errors.ts';
export { EXIT, MergeError } from './errors.ts';
export type { BranchScore } from './forecast/calibrate.ts';
export type { ForecastRunOptions } from './forecast/forecast.ts';
export { forecast, forecastEvents } from './forecast/forecast.ts';
export type { ForecastOptions } from './forecast/options.ts';
export { readForecast } from './forecast/report.ts';
export type { Branch, ForecastDocument, ForecastPoint } from './forecast/types.ts';
export { diffPage } from './html/diff-page.ts';
export { forecastPage } from './html/forecast-page.ts';
export { routersPage } from './html/routers-page.ts';
export { searchPage } from './html/search-page.ts';
export type { DtypeTotals, InspectedTensor, Inspection, RoleTotals } from './inspect/inspect.ts';
export { inspect } from './inspect/inspect.ts';
export { expectedTime } from './machine/expected-time.ts';
export { classifier } from './naming/classify.ts';
export { namingContext } from './naming/context.ts';
export type { Classify, NamingContext, Role, TensorRole } from './naming/types.ts';
export { ROLES } from './naming/types.ts';
export type { PlanDocument } from './plan/document.ts';
export { planDocument } from './plan/document.ts';
export type { Plan, PlanMember, PlanOutput } from './plan/types.ts';
export { parsePolicy } from './policy/parse.ts';
export { ROLE_GROUPS } from './policy/roles.ts';
export type { TreatmentRow } from './policy/table.ts';
export { policyText } from './policy/text.ts';
export type { Policy, PolicyRequest, RouterUse, Selector, Several, Use } from './policy/types.ts';
export type { RoundingFigure } from './quantised/types.ts';
export { readRecipe, recipeJsonSchema } from './recipe/read.ts';
export type { MachineOptions } from './recipe/run.ts';
export { planRecipe, recipeEvents, runRecipe } from './recipe/run.ts';
export type { Purpose, Recipe, RecipeOutput } from './recipe/types.ts';
export type { RoutersOptions, RoutersProgress, RoutersRunOptions } from './routers/routers.ts';
export { routers } from './routers/routers.ts';
export type {
  Evaluation,
  IdentitySample,
  LayerReport,
  PairIdentity,
  RouterDrift,
  RouterReport,
  RouterVariant,
  ScoreDifference,
  VariantScore,
  Verdict,
} from './routers/types.ts';
export { routingFunction } from './routing/functions.ts';
export { route } from './routing/route.ts';
export type { LayerChoice, Load, MemberChoice, Routes, RoutingFunction } from './routing/types.ts';
export type { ScheduleName } from './schedule/registry.ts';
export type { DecayName, WeightRequest } from './schedule/types.ts';
export type { SearchOptions } from './search/options.ts';
export { readSearch } from './search/report.ts';
export type { SearchRunOptions } from './search/search.ts';
export { search, searchEvents } from './search/search.ts';
export type { Baseline, BestTrial, ChainPair, PosteriorDrawing, SearchDocument } from './search/types.ts';
export type { SoupOptions } from './soup/soup.ts';
export { soup, soupEvents } from './soup/soup.ts';
export type { GreedySoup, SoupIngredient } from './soup/types.ts';
export type { ScoreFunction, ScoreGiven } from './study/scorer.ts';
export type { StudyEvent, Trial } from './study/types.ts';
export { discoverRun, isRunFolder } from './trajectory/discover.ts';
export type { ListedCheckpoint, RunDocument } from './trajectory/document.ts';
export { runDocument } from './trajectory/document.ts';
export { withTokens } from './trajectory/token-source.ts';
export type { Excluded, LogEntry, Position, QuantityText, Run, RunCheckpoint, Selection, TokenSource } from './trajectory/types.ts';
export type { VerifyOptions, VerifyReport } from './verify/verify.ts';
export { verify } from './verify/verify.ts';
export { version } from './version.ts';
export type { WatchEvent, WatchMember, WatchOptions, WatchRecord, WatchSummary, WindowSelection } from './watch/types.ts';
export { watch, watchEvents } from './watch/watch.ts';
