"""What the 108 Tuebingen cause-effect pairs are: cause, effect, weight and source, by number.

After Mooij, Peters, Janzing, Zscheischler and Schoelkopf, "Distinguishing cause from effect using observational data",
JMLR 17, 2016; weights as in the `pairmeta.txt` of the published data. Pairs of one source share a weight of one.
"""

_ROWS = """
1|the altitude of a weather station|its mean temperature|0.166|weather stations
2|the altitude of a weather station|its precipitation|0.166|weather stations
3|the longitude of a weather station|its mean temperature|0.167|weather stations
4|the altitude of a weather station|its hours of sunshine|0.166|weather stations
5|the age of an abalone|its length|0.143|abalones
6|the age of an abalone|the weight of its shell|0.143|abalones
7|the age of an abalone|its diameter|0.143|abalones
8|the age of an abalone|its height|0.143|abalones
9|the age of an abalone|its whole weight|0.143|abalones
10|the age of an abalone|the weight of its meat|0.143|abalones
11|the age of an abalone|the weight of its viscera|0.142|abalones
12|the age of a person|the person's hourly wage|0.5|census
13|the engine displacement of a car|its fuel consumption|0.25|cars
14|the horsepower of a car|its fuel consumption|0.25|cars
15|the weight of a car|its fuel consumption|0.25|cars
16|the horsepower of a car|its acceleration|0.25|cars
17|the age of a person|the person's dividends from stocks|0.5|census
18|the age of a child|the concentration of glycosaminoglycans in the child's urine|1|GAG
19|the duration of a geyser's eruption|the time until its next eruption|1|geyser
20|the latitude of a weather station|its mean temperature|0.166|weather stations
21|the longitude of a weather station|its precipitation|0.167|weather stations
22|the age of a patient|the patient's height|0.333|arrhythmia
23|the age of a patient|the patient's weight|0.333|arrhythmia
24|the age of a patient|the patient's heart rate|0.334|arrhythmia
25|the amount of cement in concrete|its compressive strength|0.125|concrete
26|the amount of blast furnace slag in concrete|its compressive strength|0.125|concrete
27|the amount of fly ash in concrete|its compressive strength|0.125|concrete
28|the amount of water in concrete|its compressive strength|0.125|concrete
29|the amount of superplasticizer in concrete|its compressive strength|0.125|concrete
30|the amount of coarse aggregate in concrete|its compressive strength|0.125|concrete
31|the amount of fine aggregate in concrete|its compressive strength|0.125|concrete
32|the age of concrete|its compressive strength|0.125|concrete
33|the alcohol consumption of a person|the mean volume of the person's red blood cells|0.2|liver
34|the alcohol consumption of a person|the alkaline phosphatase in the person's blood|0.2|liver
35|the alcohol consumption of a person|the alanine aminotransferase in the person's blood|0.2|liver
36|the alcohol consumption of a person|the aspartate aminotransferase in the person's blood|0.2|liver
37|the alcohol consumption of a person|the gamma-glutamyl transpeptidase in the person's blood|0.2|liver
38|the age of a person|the person's body mass index|0.25|diabetes
39|the age of a person|the person's serum insulin|0.25|diabetes
40|the age of a person|the person's diastolic blood pressure|0.25|diabetes
41|the age of a person|the person's plasma glucose|0.25|diabetes
42|the day of the year|the mean temperature of the day|0.5|local weather
43|the temperature at a place on one day|the temperature there on the next day|0.25|daily weather
44|the surface pressure at a place on one day|the surface pressure there on the next day|0.25|daily weather
45|the sea level pressure at a place on one day|the sea level pressure there on the next day|0.25|daily weather
46|the relative humidity at a place on one day|the relative humidity there on the next day|0.25|daily weather
47|whether a day is a working day|the number of cars on a road that day|1|traffic
48|the temperature outside a house|the temperature inside it|1|house
49|the air temperature in Lausanne|the ozone concentration there|0.333|ozone
50|the air temperature in Chaumont|the ozone concentration there|0.333|ozone
51|the air temperature in Davos|the ozone concentration there|0.334|ozone
52|the weather around the globe on one day|the weather around the globe on the next day|0|global weather
53|wind speed, radiation and temperature at a place|the ozone concentration there|0|ozone and weather
54|the displacement, horsepower and weight of a car|its fuel consumption and acceleration|0|cars, together
55|the solar radiation at several places|the ozone concentrations there|0|ozone, several places
56|the latitude of a country's capital|the life expectancy of women there in 2000-2005|0.083|countries
57|the latitude of a country's capital|the life expectancy of women there in 1995-2000|0.083|countries
58|the latitude of a country's capital|the life expectancy of women there in 1990-1995|0.084|countries
59|the latitude of a country's capital|the life expectancy of women there in 1985-1990|0.083|countries
60|the latitude of a country's capital|the life expectancy of men there in 2000-2005|0.083|countries
61|the latitude of a country's capital|the life expectancy of men there in 1995-2000|0.084|countries
62|the latitude of a country's capital|the life expectancy of men there in 1990-1995|0.083|countries
63|the latitude of a country's capital|the life expectancy of men there in 1985-1990|0.083|countries
64|the share of people with access to clean drinking water|infant mortality|0.084|countries
65|the daily return of the stock of Hang Seng Bank|the daily return of the stock of HSBC|0.333|stocks
66|the daily return of the stock of Hutchison|the daily return of the stock of Cheung Kong|0.333|stocks
67|the daily return of the stock of Cheung Kong|the daily return of the stock of Sun Hung Kai|0.334|stocks
68|the number of open HTTP connections of a server|the number of bytes it sends|1|server
69|the temperature outside a room|the temperature inside it|1|room
70|a parameter of the picture that is shown|the answer of the person who sees it|1|psychophysics
71|a patient's disease|the patient's symptoms|0|symptoms
72|the number of sunspots|the global mean temperature|1|sunspots
73|the energy use of a country|its emissions of carbon dioxide|0.083|countries
74|the gross national income per head of a country|its life expectancy|0.083|countries
75|the gross national income per head of a country|its mortality of children under five|0.084|countries
76|the growth of a country's population|the growth of its food consumption|1|food
77|the solar radiation of a day|the mean temperature of the day|0.5|local weather
78|the light that falls on a forest|its uptake of carbon|0.3333|forest light
79|the direct light that falls on a forest|its uptake of carbon|0.3333|forest light
80|the diffuse light that falls on a forest|its uptake of carbon|0.3334|forest light
81|the temperature in Brasschaat|the local flux of carbon dioxide|0.3333|carbon flux
82|the temperature in Hartheim|the local flux of carbon dioxide|0.3333|carbon flux
83|the temperature in Park Falls|the local flux of carbon dioxide|0.3334|carbon flux
84|the population of a county|the number of employed people there|1|employment
85|the time since a cow has calved|the protein content of its milk|1|milk
86|the size of a flat|its monthly rent|1|rents
87|the temperature of a day|the amount of snow that falls|1|snow
88|the age of a young person|the change of the person's spinal bone density|1|bones
89|the loss of root mass in a meadow by April|the loss of root mass there by October|0.25|soil
90|the loss of root mass in a forest by April|the loss of root mass there by October|0.25|soil
91|the clay content of a soil|its moisture|0.25|soil
92|the clay content of a soil|its organic carbon|0.25|soil
93|the precipitation over a river's catchment area|the runoff of the river|1|rivers
94|the hour of the day|the air temperature|0.3333|electricity
95|the hour of the day|the electricity load of a region|0.3333|electricity
96|the air temperature in a region|its electricity load|0.3333|electricity
97|the speed of a ball at the start of a track|its speed at the end|0.2|ball track
98|the speed of a ball at the start of an accelerating track|its speed at the end|0.2|ball track
99|the social and economic status of a pupil's family|the pupil's score in a language test|1|school
100|the cycle time of a computer's processor|the performance of the computer|1|computers
101|the grey value of one pixel of a screen|the brightness of the screen|0.5|screen
102|the place where a ball starts on a track|the time it takes between the first two light barriers|0.2|ball track
103|the place where a ball starts on a track|the time it takes between the last two light barriers|0.2|ball track
104|the time a ball takes between the first two light barriers|the time between the last two|0.2|ball track
105|the grey values of all pixels of a patch|the brightness of the screen|0.5|screen
106|the voltage that drives a toy train|the time it takes for a round|1|toy train
107|the contrast of a tilted pattern|how often people see its tilt rightly|1|contrast
108|the temperature of the bath that drives a Stirling engine|the time of a sixth of its rotation|1|engine
"""
NAMES: dict[int, tuple[str, str, float, str]] = {}
"""Number -> cause, effect, weight, source."""
for _row in _ROWS.strip().splitlines():
    _number, _cause, _effect, _weight, _source = _row.split("|")
    NAMES[int(_number)] = _cause, _effect, float(_weight), _source

VECTORS = frozenset((52, 53, 54, 55, 71, 105))
"""Pairs with more than one number a variable."""
BACKWARD = frozenset(
    (*range(47, 54), 55, *range(56, 64), 68, 69, 73, 75, 77, 79, 80, 84, 89, 90, 92, 99, 106, 108)
)  # fmt: skip
"""Pairs whose published file has the effect in its first column."""
