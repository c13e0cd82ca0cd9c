/** One tile of labels, painted by the graphics card: outlines that are as thin on the screen at every zoom, and fills. */
import type { UpdateParameters } from "@deck.gl/core";
import { BitmapLayer } from "@deck.gl/layers";
import type { Texture } from "@luma.gl/core";

import type { Tile } from "./zarr";

export interface LabelTileProps {
  labels: Tile<Uint32Array>;
  /** The colour of each object; whoever made it lets it go. */
  palette: Texture;
  /** 0…1. */
  fill: number;
  /** Of outlines, px of the screen; 0: none. */
  outline: number;
  /** Objects that stand out; 0: none. */
  hovered: number;
  pinned: number;
  /** How large objects are, px of the image: where they are specks on the screen, they let the pixels be seen. */
  size?: number;
  /** What of the canvas is drawn on, 0…1 of its width. */
  from: number;
  to: number;
}

const block = `\
uniform labelsUniforms {
  vec2 size;
  float fill;
  float outline;
  float fromX;
  float toX;
  float strength;
  uint hovered;
  uint pinned;
  uint paletteWidth;
  uint paletteHeight;
} labels;
`;

const labelsModule = {
  name: "labels",
  vs: "",
  fs: block,
  uniformTypes: {
    size: "vec2<f32>", fill: "f32", outline: "f32", fromX: "f32", toX: "f32", strength: "f32", hovered: "u32", pinned: "u32", paletteWidth: "u32",
    paletteHeight: "u32",
  },
} as const;

/** A place is on the outline where a neighbour that is `reach` away, within the tile, has another label. */
const fs = `\
#version 300 es
#define SHADER_NAME label-tile-fragment-shader
precision highp float;
precision highp int;

uniform sampler2D labelTexture;
uniform sampler2D paletteTexture;
in vec2 vTexCoord;
in vec2 vTexPos;
out vec4 fragColor;

uint labelAt(vec2 place) {
  vec4 stored = texelFetch(labelTexture, ivec2(clamp(place, vec2(0.0), labels.size - 1.0)), 0);
  uvec4 bytes = uvec4(stored * 255.0 + 0.5);
  return bytes.r | (bytes.g << 8) | (bytes.b << 16) | (bytes.a << 24);
}

bool differs(uint label, vec2 place) {
  return labelAt(floor(place)) != label;
}

void main(void) {
  if (gl_FragCoord.x < labels.fromX || gl_FragCoord.x >= labels.toX) discard;
  vec2 place = vTexCoord * labels.size;
  vec2 onScreen = abs(dFdx(place)) + abs(dFdy(place));
  uint label = labelAt(floor(place));
  if (label == 0u) discard;
  uint entry = label % (labels.paletteWidth * labels.paletteHeight);
  vec4 colour = texelFetch(paletteTexture, ivec2(entry % labels.paletteWidth, entry / labels.paletteWidth), 0);
  bool chosen = label == labels.pinned;
  bool marked = chosen || label == labels.hovered;
  if (colour.a == 0.0 && !marked) discard;
  float width = marked ? max(labels.outline, 1.0) * 1.7 : labels.outline;
  vec2 reach = onScreen * width;
  bool edge = width > 0.0 && (
    differs(label, place + vec2(reach.x, 0.0)) || differs(label, place - vec2(reach.x, 0.0)) ||
    differs(label, place + vec2(0.0, reach.y)) || differs(label, place - vec2(0.0, reach.y)) ||
    differs(label, place + 0.7 * reach) || differs(label, place - 0.7 * reach) ||
    differs(label, place + 0.7 * vec2(reach.x, -reach.y)) || differs(label, place + 0.7 * vec2(-reach.x, reach.y)));
  float strength = marked ? 1.0 : colour.a;
  float alpha = edge ? strength : strength * (marked ? max(labels.fill, 0.25) : labels.fill);
  if (alpha == 0.0) discard;
  vec3 shown = edge && marked ? mix(colour.rgb, vec3(1.0), chosen ? 1.0 : 0.6) : colour.rgb;
  fragColor = vec4(shown, alpha * (marked ? 1.0 : labels.strength) * layer.opacity);
}
`;

/** Objects of fewer px on the screen begin to fade; of so few they are at their faintest. */
const [CLEAR, SPECK] = [10, 3];
const FAINTEST = 0.25;

/** Return how strongly objects are drawn that are `side` px large on the screen, 0…1. */
function strengthOf(side: number): number {
  return FAINTEST + (1 - FAINTEST) * Math.min(1, Math.max(0, (side - SPECK) / (CLEAR - SPECK)));
}

const NEAREST = {
  minFilter: "nearest", magFilter: "nearest", addressModeU: "clamp-to-edge", addressModeV: "clamp-to-edge",
} as const;

interface State {
  model?: { shaderInputs: { setProps(props: object): void }; draw(pass: unknown): void };
  texture?: Texture;
}

export class LabelTile extends BitmapLayer<LabelTileProps> {
  static override layerName = "LabelTile";

  override getShaders() {
    const shaders = super.getShaders() as { modules: object[] };
    return { ...shaders, fs, modules: [...shaders.modules, labelsModule] };
  }

  override updateState(parameters: UpdateParameters<this>) {
    super.updateState(parameters);
    const { props, oldProps } = parameters;
    if (props.labels === oldProps.labels) return;
    const { data, width, height } = props.labels;
    (this.state as State).texture?.destroy();
    // The four bytes of a number as a colour: textures of whole numbers cannot stand beside others in one program.
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    const texture = this.context.device.createTexture({ format: "rgba8unorm", width, height, data: bytes, sampler: NEAREST });
    this.setState({ texture });
  }

  override finalizeState(context: this["context"]) {
    super.finalizeState(context);
    (this.state as State).texture?.destroy();
  }

  override draw() {
    const { model, texture } = this.state as State;
    const { labels, palette, fill, outline, hovered, pinned, size, from, to } = this.props;
    if (!model || !texture) return;
    const [wide] = this.context.device.getDefaultCanvasContext().getDrawingBufferSize();
    model.shaderInputs.setProps({
      labels: {
        labelTexture: texture,
        paletteTexture: palette,
        size: [labels.width, labels.height],
        fill,
        outline,
        fromX: from * wide,
        toX: to * wide,
        strength: size ? strengthOf(size * 2 ** this.context.viewport.zoom) : 1,
        hovered,
        pinned,
        paletteWidth: palette.width,
        paletteHeight: palette.height,
      },
    });
    model.draw(this.context.renderPass);
  }
}
