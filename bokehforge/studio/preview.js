"use strict";

/* The preview: layers, blurred in WebGL2 and put over each other, as the renderer layers-over does it.

   Of each layer, the rays of a pixel x through lens points s are followed to where they meet it, x + S s with the signed
   defocus S = K (d - d_f) there. Their mean is the layer's light and cover, and the layers go over each other, far to
   near. The renderer scatters instead, from every texel to its disk; for a layer that faces the camera the two are the
   same. What differs: a limited number of lens points, and the size of the layers. */

const LENS_POINTS_MOST = 512;

const PREVIEW_VERTEX = `#version 300 es
void main() {
  // One triangle that covers everything.
  gl_Position = vec4(gl_VertexID == 1 ? 3.0 : -1.0, gl_VertexID == 2 ? 3.0 : -1.0, 0.0, 1.0);
}`;

const PREVIEW_HEAD = `#version 300 es
precision highp float;
precision highp sampler2D;
`;

// Straight colour at the reference gamma to premultiplied light at another.
const PREVIEW_REGRADE = `${PREVIEW_HEAD}
uniform sampler2D straight;
uniform float power;
out vec4 light;
void main() {
  vec4 c = texelFetch(straight, ivec2(gl_FragCoord.xy), 0);
  light = vec4(min(pow(c.rgb, vec3(power)), 60000.0) * c.a, c.a);
}`;

const PREVIEW_BLUR = `${PREVIEW_HEAD}
uniform sampler2D colour, depth;
// Two lens points in each.
layout(std140) uniform Lens { vec4 points[${LENS_POINTS_MOST / 2}]; };
uniform vec2 frame, extended;
uniform float overscan, texelsPerPx, pxPerPixel, K, focus, catEye;
uniform bool isFlat, repeats;
uniform int count;
out vec4 light;

vec2 place(vec2 at) { return (at + overscan) / extended; }

// S; disks that are smaller than a pixel are one.
float defocus(vec2 place) {
  float S = K * (texture(depth, place).r - focus);
  return abs(S) < 0.5 ? 0.0 : S;
}

void main() {
  vec2 at = vec2(gl_FragCoord.x * pxPerPixel, frame.y - gl_FragCoord.y * pxPerPixel);
  float S = defocus(place(at));
  float radius = abs(S) * texelsPerPx;
  // A mean over more than the disk, without cover: nothing of the layer is near.
  if (textureLod(colour, place(at), ceil(log2(2.0 * radius + 2.0)) + 1.0).a < 1e-6) discard;
  // As smooth as the lens points are sparse.
  float lod = max(log2(max(radius * sqrt(3.14159 / float(count)), texelsPerPx * pxPerPixel)), 0.0);
  vec2 field = (at - 0.5 * frame) / (0.5 * length(frame));
  vec3 sum = vec3(0.0);
  float cover = 0.0, own = 0.0, open = 0.0;
  for (int i = 0; i < count; i++) {
    vec4 two = points[i / 2];
    vec2 s = i % 2 == 0 ? two.xy : two.zw;
    vec2 second = s + catEye * field;
    if (catEye > 0.0 && dot(second, second) > 1.0) continue;
    // Where the ray meets the layer, with the disparity near there.
    vec2 where = place(at + (isFlat ? S : defocus(place(at + S * s))) * s);
    vec4 c = textureLod(colour, where, lod);
    // Light that a nearer layer has as well weighs nothing, but where there is no other.
    float weight = repeats ? mix(1e-3, 1.0, texture(depth, where).g) : 1.0;
    sum += c.rgb * weight;
    own += c.a * weight;
    cover += c.a;
    open += 1.0;
  }
  cover /= max(open, 1.0);
  light = vec4(own > 0.0 ? sum / own * cover : vec3(0.0), cover);
}`;

const PREVIEW_SHOW = `${PREVIEW_HEAD}
uniform sampler2D picture;
uniform float gamma;
out vec4 shown;
void main() {
  shown = vec4(pow(clamp(texelFetch(picture, ivec2(gl_FragCoord.xy), 0).rgb, 0.0, 1.0), vec3(1.0 / gamma)), 1.0);
}`;

const REFERENCE_GAMMA = 2.2;

class Preview {
  // Null where the browser cannot.
  static make() {
    const canvas = document.createElement("canvas");
    const gl = canvas.getContext("webgl2", { alpha: false, antialias: false, preserveDrawingBuffer: true });
    return gl?.getExtension("EXT_color_buffer_float") ? new Preview(canvas, gl) : null;
  }

  constructor(canvas, gl) {
    this.canvas = canvas;
    this.gl = gl;
    this.layers = [];
    this.isLost = false;
    canvas.addEventListener("webglcontextlost", () => { this.isLost = true; });
    this.regrade = this.program(PREVIEW_REGRADE);
    this.blur = this.program(PREVIEW_BLUR);
    this.show = this.program(PREVIEW_SHOW);
    this.target = gl.createFramebuffer();
    this.picture = null;
    this.step = 1;
    this.points = gl.createBuffer();
    gl.bindBufferBase(gl.UNIFORM_BUFFER, 0, this.points);
    gl.bufferData(gl.UNIFORM_BUFFER, 8 * LENS_POINTS_MOST, gl.DYNAMIC_DRAW);
  }

  program(fragment) {
    const gl = this.gl, program = gl.createProgram();
    for (const [type, source] of [[gl.VERTEX_SHADER, PREVIEW_VERTEX], [gl.FRAGMENT_SHADER, fragment]]) {
      const shader = gl.createShader(type);
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost()) throw new Error(gl.getProgramInfoLog(program));
    const names = {};
    for (let i = 0; i < gl.getProgramParameter(program, gl.ACTIVE_UNIFORMS); i++) {
      const { name } = gl.getActiveUniform(program, i);
      names[name] = gl.getUniformLocation(program, name);  // null for those of a block
    }
    return { program, names };
  }

  texture(format, width, height, type, layout, data, filter) {
    const gl = this.gl, texture = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, texture);
    gl.texImage2D(gl.TEXTURE_2D, 0, format, width, height, 0, layout, type, data);
    const isMipmapped = filter === gl.LINEAR_MIPMAP_LINEAR;
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, filter);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, isMipmapped ? gl.LINEAR : filter);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE);
    return texture;
  }

  // head, rgba (half floats as they are), depth: as the server gives them; frame: width and height of the picture.
  load(head, rgba, depth, frame) {
    const gl = this.gl, [width, height] = head.size;
    for (const { straight, colour, depth } of this.layers) for (const texture of [straight, colour, depth]) gl.deleteTexture(texture);
    this.size = [width, height];
    this.extended = head.extended;
    this.overscan = head.overscan;
    this.frame = frame;
    this.gamma = null;
    this.scale = width / head.extended[0];
    this.layers = Array.from({ length: head.count }, (_, i) => {
      const part = (array, channels) => array.subarray(i * width * height * channels, (i + 1) * width * height * channels);
      return {
        straight: this.texture(gl.RGBA16F, width, height, gl.HALF_FLOAT, gl.RGBA, part(rgba, 4), gl.NEAREST),
        colour: this.texture(gl.RGBA16F, width, height, gl.HALF_FLOAT, gl.RGBA, null, gl.LINEAR_MIPMAP_LINEAR),
        depth: this.texture(gl.RG32F, width, height, gl.FLOAT, gl.RG, part(depth, 2), gl.NEAREST),
        ...head.layers[i],
      };
    });
    this.setStep(this.step);
  }

  // Draw every so manieth texel, across and down.
  setStep(step) {
    const gl = this.gl, [width, height] = this.frame.map((side) => Math.max(1, Math.round(side * this.scale / step)));
    this.step = step;
    if (this.picture && width === this.canvas.width && height === this.canvas.height) return;
    Object.assign(this.canvas, { width, height });
    gl.deleteTexture(this.picture);
    this.picture = this.texture(gl.RGBA16F, width, height, gl.HALF_FLOAT, gl.RGBA, null, gl.NEAREST);
  }

  // Lens points, x and y of each after each other, at most LENS_POINTS_MOST.
  setPoints(points) {
    const gl = this.gl;
    this.count = points.length / 2;
    gl.bindBuffer(gl.UNIFORM_BUFFER, this.points);
    gl.bufferSubData(gl.UNIFORM_BUFFER, 0, points);
  }

  // blur: K in pixels per unit of disparity; focus: a disparity. Returns the milliseconds that it took.
  draw({ blur, focus, gamma, catEye }) {
    const gl = this.gl, begin = performance.now();
    if (gamma !== this.gamma) this.setGamma(gamma);
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.target);
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, this.picture, 0);
    gl.viewport(0, 0, this.canvas.width, this.canvas.height);
    gl.clearColor(0, 0, 0, 1);
    gl.clear(gl.COLOR_BUFFER_BIT);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    const { program, names } = this.blur;
    gl.useProgram(program);
    gl.uniform2f(names.frame, ...this.frame);
    gl.uniform2f(names.extended, ...this.extended);
    gl.uniform1f(names.overscan, this.overscan);
    gl.uniform1f(names.texelsPerPx, this.scale);
    gl.uniform1f(names.pxPerPixel, this.frame[0] / this.canvas.width);
    gl.uniform1f(names.K, blur);
    gl.uniform1f(names.focus, focus);
    gl.uniform1f(names.catEye, catEye);
    gl.uniform1i(names.count, this.count);
    for (const layer of this.layers.toReversed()) {
      this.bind(names.colour, 0, layer.colour);
      this.bind(names.depth, 1, layer.depth);
      gl.uniform1i(names.isFlat, layer.is_flat);
      gl.uniform1i(names.repeats, layer.repeats);
      gl.drawArrays(gl.TRIANGLES, 0, 3);
    }
    gl.disable(gl.BLEND);
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    gl.useProgram(this.show.program);
    this.bind(this.show.names.picture, 0, this.picture);
    gl.uniform1f(this.show.names.gamma, gamma);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
    // Only what is read has surely been drawn.
    gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4));
    return performance.now() - begin;
  }

  setGamma(gamma) {
    const gl = this.gl, { program, names } = this.regrade;
    this.gamma = gamma;
    gl.useProgram(program);
    gl.viewport(0, 0, ...this.size);
    gl.uniform1f(names.power, gamma / REFERENCE_GAMMA);
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.target);
    for (const layer of this.layers) {
      gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, layer.colour, 0);
      this.bind(names.straight, 0, layer.straight);
      gl.drawArrays(gl.TRIANGLES, 0, 3);
      gl.bindTexture(gl.TEXTURE_2D, layer.colour);
      gl.generateMipmap(gl.TEXTURE_2D);
    }
  }

  bind(name, unit, texture) {
    const gl = this.gl;
    gl.activeTexture(gl.TEXTURE0 + unit);
    gl.bindTexture(gl.TEXTURE_2D, texture);
    gl.uniform1i(name, unit);
  }
}
