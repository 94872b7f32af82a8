/** Channels, height and width. */
export interface ImageShape {
  /** C: 1 for grey images, 3 for RGB. */
  readonly channels: number;
  /** H, in pixels. */
  readonly height: number;
  /** W, in pixels. */
  readonly width: number;
}

/** "28x28x1": width, height, channels. */
export function formatImageShape({ width, height, channels }: ImageShape): string {
  return `${width}x${height}x${channels}`;
}
