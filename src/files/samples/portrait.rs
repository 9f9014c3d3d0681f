//! A small painter: soft ellipses on a gradient, arranged as a person.
//!
//! Everything is chosen from the picture's number by tables and sines with different periods, so
//! that neighbours differ in pose, light, clothes and place at once.

use image::{Rgb, RgbImage};

type Colour = [f32; 3];

const SKIN: Colour = [0.90, 0.70, 0.56];
const HAIR: Colour = [0.24, 0.14, 0.09];
const IRIS: Colour = [0.22, 0.45, 0.38];
const LIPS: Colour = [0.74, 0.33, 0.32];
const WHITE: Colour = [0.97, 0.96, 0.94];
const DARK: Colour = [0.10, 0.07, 0.07];

/// Two colours of a place: the gradient runs from the first to the second.
const PLACES: [(Colour, Colour); 7] = [
    ([0.98, 0.80, 0.58], [0.55, 0.30, 0.38]),
    ([0.62, 0.80, 0.93], [0.16, 0.32, 0.52]),
    ([0.20, 0.24, 0.30], [0.62, 0.66, 0.68]),
    ([0.80, 0.88, 0.66], [0.18, 0.38, 0.26]),
    ([0.93, 0.91, 0.87], [0.56, 0.52, 0.49]),
    ([0.36, 0.22, 0.48], [0.94, 0.60, 0.55]),
    ([0.07, 0.10, 0.18], [0.30, 0.48, 0.60]),
];
const CLOTHES: [Colour; 5] = [
    [0.16, 0.22, 0.36],
    [0.72, 0.20, 0.22],
    [0.92, 0.90, 0.84],
    [0.14, 0.42, 0.38],
    [0.85, 0.62, 0.18],
];
/// Height of half a head, as a share of the picture's height: from a half-length to a close-up.
const CLOSENESS: [f32; 5] = [0.21, 0.27, 0.17, 0.24, 0.30];

/// An ellipse in head units: the head is about 1.5 wide and 2 high around the origin.
struct Ellipse {
    at: (f32, f32),
    radii: (f32, f32),
    /// Width of the soft edge in head units; at least a pixel is taken.
    soft: f32,
}

fn ellipse(x: f32, y: f32, rx: f32, ry: f32) -> Ellipse {
    Ellipse { at: (x, y), radii: (rx, ry), soft: 0.0 }
}

/// The picture with the head's place in it.
struct Canvas {
    pixels: RgbImage,
    /// Centre of the head, in pixels.
    centre: (f32, f32),
    /// One head unit, in pixels.
    unit: f32,
    /// Sine and cosine of the head's tilt.
    tilt: (f32, f32),
    /// Where the light comes from, at most 1 long.
    light: (f32, f32),
}

impl Canvas {
    /// Paints an ellipse, lit as if it were round, where `keep` (head units) holds.
    fn paint(&mut self, shape: &Ellipse, colour: Colour, keep: impl Fn(f32, f32) -> bool) {
        let (sin, cos) = self.tilt;
        let (x0, y0) = shape.at;
        let middle = (
            self.centre.0 + (x0 * cos - y0 * sin) * self.unit,
            self.centre.1 + (x0 * sin + y0 * cos) * self.unit,
        );
        let soft = shape.soft.max(1.5 / self.unit);
        let reach = (shape.radii.0.max(shape.radii.1) + soft) * self.unit;
        let (width, height) = self.pixels.dimensions();
        for py in span(middle.1, reach, height) {
            for px in span(middle.0, reach, width) {
                let (dx, dy) = (px as f32 - middle.0, py as f32 - middle.1);
                let x = (dx * cos + dy * sin) / self.unit;
                let y = (dy * cos - dx * sin) / self.unit;
                let (nx, ny) = (x / shape.radii.0, y / shape.radii.1);
                let outside = (nx.hypot(ny) - 1.0) * shape.radii.0.min(shape.radii.1);
                let cover = (0.5 - outside / soft).clamp(0.0, 1.0);
                if cover > 0.0 && keep(x + x0, y + y0) {
                    let lit = 1.0 + 0.20 * (nx * self.light.0 + ny * self.light.1);
                    blend(self.pixels.get_pixel_mut(px, py), scale(colour, lit), cover);
                }
            }
        }
    }

    fn dab(&mut self, shape: &Ellipse, colour: Colour) {
        self.paint(shape, colour, |_, _| true);
    }
}

fn span(middle: f32, reach: f32, limit: u32) -> std::ops::Range<u32> {
    // Float to integer casts saturate, so a shape beyond the edge gives an empty range.
    ((middle - reach).floor() as u32).min(limit)..((middle + reach).ceil() as u32).min(limit)
}

fn blend(pixel: &mut Rgb<u8>, colour: Colour, cover: f32) {
    for (channel, wanted) in pixel.0.iter_mut().zip(colour) {
        let old = f32::from(*channel);
        *channel = (old + (wanted.clamp(0.0, 1.0) * 255.0 - old) * cover).round() as u8;
    }
}

fn scale(colour: Colour, by: f32) -> Colour {
    colour.map(|channel| channel * by)
}

fn mix(a: Colour, b: Colour, share: f32) -> Colour {
    std::array::from_fn(|n| a[n] + (b[n] - a[n]) * share.clamp(0.0, 1.0))
}

/// Draws portrait number `index`.
pub(super) fn draw(index: usize, width: u32, height: u32) -> RgbImage {
    let number = index as f32;
    let (w, h) = (width as f32, height as f32);
    let unit = CLOSENESS[index % CLOSENESS.len()] * h;
    let tilt = 0.20 * (number * 2.7 + 0.4).sin();
    let light_from = number * 1.3 + 2.0;
    let aside = 0.13 * (number * 3.1 + 1.0).sin();
    let mut canvas = Canvas {
        pixels: background(index, width, height),
        centre: (w * (0.5 + aside), h * 0.22 + unit),
        unit,
        tilt: tilt.sin_cos(),
        light: (light_from.cos(), -0.5 * light_from.sin().abs() - 0.2),
    };
    let yaw = 0.6 * (number * 1.9 + 0.7).sin();
    scenery(&mut canvas, index);
    body(&mut canvas, index);
    head(&mut canvas, index, yaw);
    face(&mut canvas, index, yaw);
    canvas.pixels
}

/// A gradient across the picture, in another direction each time.
fn background(index: usize, width: u32, height: u32) -> RgbImage {
    let (from, to) = PLACES[index % PLACES.len()];
    let (sin, cos) = (index as f32 * 2.4).sin_cos();
    // A coarse step keeps the lossless files small; the eye hardly sees it.
    let steps = 48.0;
    RgbImage::from_fn(width, height, |x, y| {
        let (u, v) = (x as f32 / width as f32 - 0.5, y as f32 / height as f32 - 0.5);
        let share = 0.5 + (u * cos + v * sin) * 0.8;
        let colour = mix(from, to, (share * steps).round() / steps);
        Rgb(colour.map(|channel| (channel * 255.0) as u8))
    })
}

/// Something behind the person: lights out of focus, a window, hills, or a plain wall.
fn scenery(canvas: &mut Canvas, index: usize) {
    let tilt = std::mem::replace(&mut canvas.tilt, (0.0, 1.0));
    let (near, far) = PLACES[(index + 3) % PLACES.len()];
    match index % 4 {
        0 => {
            for n in 0..7 {
                let angle = (n + index) as f32 * 2.4;
                let distance = 1.5 + 0.22 * n as f32;
                let mut spot = ellipse(distance * angle.cos(), distance * angle.sin(), 0.33, 0.33);
                spot.soft = 0.08;
                canvas.dab(&spot, mix(near, WHITE, 0.1 * n as f32));
            }
        }
        1 => {
            let side = if index % 8 < 4 { -1.0 } else { 1.0 };
            let pane = ellipse(side * 1.75, -0.3, 0.75, 2.2);
            canvas.paint(&pane, mix(near, WHITE, 0.7), |x, y| {
                (x.abs() - 1.75).abs() > 0.05 && (y + 0.3).abs() > 0.05
            });
        }
        2 => {
            canvas.dab(&ellipse(-1.6, 2.6, 2.6, 1.9), mix(far, DARK, 0.2));
            canvas.dab(&ellipse(2.1, 2.9, 2.4, 1.9), mix(far, near, 0.3));
        }
        _ => {
            let mut glow = ellipse(canvas.light.0 * 1.2, -0.6, 1.9, 1.9);
            glow.soft = 1.4;
            canvas.dab(&glow, mix(near, WHITE, 0.5));
        }
    }
    canvas.tilt = tilt;
}

fn body(canvas: &mut Canvas, index: usize) {
    let cloth = CLOTHES[index % CLOTHES.len()];
    if has_long_hair(index) {
        canvas.dab(&ellipse(0.0, 0.42, 1.0, 1.32), scale(HAIR, 0.85));
    }
    // Shoulders stay level when the head tilts.
    let tilt = std::mem::replace(&mut canvas.tilt, (0.0, 1.0));
    canvas.dab(&ellipse(0.0, 1.28, 0.34, 0.62), scale(SKIN, 0.82));
    canvas.paint(&ellipse(0.0, 2.95, 1.72, 1.5), cloth, |x, y| {
        // A round or a pointed neckline, in turn.
        let neck =
            if index.is_multiple_of(2) { x.hypot((y - 1.35) * 1.1) } else { x.abs() + y - 1.4 };
        neck > 0.46
    });
    canvas.paint(&ellipse(0.0, 1.55, 0.46, 0.5), scale(SKIN, 0.9), |x, y| {
        y > 1.45
            && if index.is_multiple_of(2) {
                x.hypot((y - 1.35) * 1.1) <= 0.46
            } else {
                x.abs() + y - 1.4 <= 0.46
            }
    });
    canvas.tilt = tilt;
}

fn has_long_hair(index: usize) -> bool {
    index % 3 != 2
}

fn head(canvas: &mut Canvas, index: usize, yaw: f32) {
    let turn = 0.12 * yaw;
    canvas.dab(&ellipse(-turn, -0.2, 0.84, 0.95), HAIR);
    if !has_long_hair(index) {
        // Tied up.
        canvas.dab(&ellipse(-2.0 * turn, -1.18, 0.34, 0.3), scale(HAIR, 1.15));
    }
    for side in [-1.0, 1.0] {
        canvas.dab(&ellipse(side * 0.70 - turn, 0.08, 0.11, 0.2), scale(SKIN, 0.88));
    }
    canvas.dab(&ellipse(0.0, 0.0, 0.70, 0.96), SKIN);
    // The fringe: what of a second cap lies above a slanted hairline.
    let slant = if index.is_multiple_of(2) { 0.35 } else { -0.35 };
    canvas.paint(&ellipse(0.0, -0.18, 0.76, 0.90), scale(HAIR, 1.1), |x, y| {
        y < -0.48 + slant * (x - turn) - 0.25 * (1.0 - (x * 1.3).powi(2)).max(-0.6)
    });
    if has_long_hair(index) {
        for side in [-1.0, 1.0] {
            canvas.dab(&ellipse(side * 0.78 - turn, 0.45, 0.17, 0.85), scale(HAIR, 1.05));
        }
    }
}

fn face(canvas: &mut Canvas, index: usize, yaw: f32) {
    let turn = 0.24 * yaw;
    let blush = mix(SKIN, LIPS, 0.20);
    for side in [-1.0, 1.0] {
        // The eye that is turned away looks narrower.
        let narrow = 1.0 - 0.22 * (side * yaw).max(0.0);
        let x = side * 0.29 * narrow + turn;
        let mut cheek = ellipse(side * 0.36 + turn, 0.28, 0.15, 0.11);
        cheek.soft = 0.12;
        // Never beyond the outline of the head.
        canvas.paint(&cheek, blush, |x, y| (x / 0.57).hypot(y / 0.9) < 1.0);
        canvas.dab(&ellipse(x, -0.04, 0.150 * narrow, 0.085), scale(SKIN, 0.72));
        let open = ellipse(x, -0.03, 0.135 * narrow, 0.070);
        canvas.dab(&open, WHITE);
        let look = x + 0.04 * yaw;
        let within =
            |px: f32, py: f32| ((px - x) / 0.135 / narrow).hypot((py + 0.03) / 0.070) < 1.0;
        canvas.paint(&ellipse(look, -0.03, 0.066, 0.066), IRIS, within);
        canvas.paint(&ellipse(look, -0.03, 0.032, 0.032), DARK, within);
        canvas.dab(&ellipse(look + 0.02, -0.055, 0.014, 0.014), WHITE);
        let lift = 0.03 * (index % 3) as f32;
        canvas
            .paint(&ellipse(x, -0.13 - lift, 0.20 * narrow, 0.10), HAIR, |_, y| y < -0.175 - lift);
    }
    let mut bridge = ellipse(turn * 1.25 + 0.03 * yaw, 0.16, 0.07, 0.22);
    bridge.soft = 0.06;
    canvas.dab(&bridge, scale(SKIN, 1.05));
    canvas.paint(&ellipse(turn * 1.3, 0.30, 0.11, 0.07), scale(SKIN, 0.78), |_, y| y > 0.30);
    mouth(canvas, index, turn);
}

/// Closed, smiling or laughing, in turn.
fn mouth(canvas: &mut Canvas, index: usize, turn: f32) {
    match index % 3 {
        0 => {
            canvas.paint(&ellipse(turn, 0.49, 0.21, 0.085), LIPS, |_, y| y > 0.495);
            canvas.paint(&ellipse(turn, 0.50, 0.19, 0.05), scale(LIPS, 0.82), |_, y| y <= 0.505);
        }
        1 => canvas.paint(&ellipse(turn, 0.46, 0.27, 0.13), LIPS, move |x, y| {
            y > 0.50 - 0.9 * (x - turn).powi(2)
        }),
        _ => {
            canvas.paint(&ellipse(turn, 0.44, 0.27, 0.19), scale(LIPS, 0.9), |_, y| y > 0.455);
            canvas.paint(&ellipse(turn, 0.44, 0.23, 0.15), DARK, |_, y| y > 0.475);
            canvas
                .paint(&ellipse(turn, 0.44, 0.23, 0.15), WHITE, |_, y| (0.475..0.53).contains(&y));
        }
    }
}
