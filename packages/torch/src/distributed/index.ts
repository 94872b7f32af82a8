/** Several processes: where they meet, whether they live, and their collectives. */

export {
  type BucketTimes,
  GradientBuckets,
  type GroupOptions,
  ProcessGroup,
  type Waiting,
  Work,
} from "./process-group.js";
export { Store, type StoreOptions } from "./store.js";
export { Watch, type WatchState } from "./watch.js";
